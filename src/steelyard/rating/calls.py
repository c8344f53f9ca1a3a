"""A batch of usage records as columns."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from steelyard.catalogue.offers import Called
from steelyard.rating import scalar
from steelyard.rating.lines import UNITS_LIMIT
from steelyard.rating.parts import apart
from steelyard.values.meters import METERS, PROMPT_METERS
from steelyard.values.usage import UsageRecord

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Key = TypeVar("Key")

METER_ROW = {name: row for row, name in enumerate(METERS)}
_PROMPT_ROWS = [METER_ROW[name] for name in PROMPT_METERS]

_names_of = attrgetter(
    "edition", "contract", "model", "deployment", "service_tier", "region", "mode"
)


class Group(NamedTuple):
    """What the calls have in common that one timeline prices."""

    edition: int
    contract: str
    model: str
    deployment: str
    called: Called = Called()


class Calls(NamedTuple):
    """A batch of usage records as columns, with a row for each part of each call.

    Shape: ``ids`` 16 bytes a call; ``call`` (a place among those), ``at_us``, ``group`` (a place in
    ``groups``) and ``unweighed`` (some count is beyond what a line can hold) one a part;
    ``charged`` and ``produced`` one row a meter in the order of ``METERS``, one column a part.
    ``charged_meters`` and ``produced_meters`` are those of which some call has units;
    ``prompt_tokens`` is the length of each prompt.
    """

    ids: bytes
    call: Ints
    at_us: Ints
    ended_us: Ints
    group: Ints
    groups: tuple[Group, ...]
    charged: Ints
    produced: Ints
    unweighed: Flags
    charged_meters: tuple[str, ...]
    produced_meters: tuple[str, ...]
    prompt_tokens: Ints


def columns(records: Sequence[UsageRecord]) -> Calls:
    """Turn records into columns."""
    ids = b"".join([record.call_id for record in records])
    records, call = apart(records)
    group, groups = coded(map(_names_of, records), len(records))
    meters = [record.meters for record in records]
    charged, unweighed = _matrix(meters)
    made = [record.produced for record in records]
    produced = charged
    if made.count(None) < len(made):
        pairs = zip(meters, made, strict=True)
        produced, unproduced = _matrix([a if b is None else b for a, b in pairs])
        unweighed |= unproduced
    at_us = np.array([record.at_us for record in records], dtype=np.int64)
    charged_meters = _used(charged)
    return Calls(
        ids=ids,
        call=np.array(call, dtype=np.int64),
        at_us=at_us,
        ended_us=_ended_us(records, at_us),
        group=group,
        groups=tuple(_group(*key) for key in groups),
        charged=charged,
        produced=produced,
        unweighed=unweighed,
        charged_meters=charged_meters,
        produced_meters=charged_meters if produced is charged else _used(produced),
        prompt_tokens=charged[_PROMPT_ROWS].sum(axis=0),
    )


def _used(matrix: Ints) -> tuple[str, ...]:
    return tuple(name for name, row in METER_ROW.items() if matrix[row].any())


def _ended_us(records: Sequence[UsageRecord], at_us: Ints) -> Ints:
    if not any(map(attrgetter("duration_us"), records)):
        return at_us
    return np.array([scalar.ended_us(record) for record in records], dtype=np.int64)


def _group(edition: int, contract: str, model: str, deployment: str, *called: str) -> Group:
    return Group(edition, contract, model, deployment, Called(*called))


def coded(keys: Iterable[Key], count: int) -> tuple[Ints, tuple[Key, ...]]:
    """Number keys in the order in which they are first seen."""
    codes: defaultdict[Key, int] = defaultdict(itertools.count().__next__)
    coded = np.fromiter(map(codes.__getitem__, keys), np.int64, count)
    return coded, tuple(codes)


def _matrix(counts: list[dict[str, int]]) -> tuple[Ints, Flags]:
    # Calls of one shape (the same meters in the same order) are scattered together: a loop over
    # the few shapes instead of one over all the counts.
    shape, shapes = coded(map(tuple, counts), len(counts))
    flat = list(itertools.chain.from_iterable([each.values() for each in counts]))
    try:
        values = np.array(flat, dtype=np.int64)
    except OverflowError:
        values = np.array([each if 0 <= each <= UNITS_LIMIT else -1 for each in flat])
    lengths = np.array([len(key) for key in shapes], dtype=np.int64)[shape]
    starts = np.cumsum(lengths) - lengths
    matrix = np.zeros((len(METERS), len(counts)), dtype=np.int64)
    unweighed = np.zeros(len(counts), dtype=np.bool_)
    for code, key in enumerate(shapes):
        rows = np.flatnonzero(shape == code)
        for place, name in enumerate(key):
            found = values[starts[rows] + place]
            unweighed[rows] |= (found < 0) | (found > UNITS_LIMIT)
            if name in METER_ROW:
                matrix[METER_ROW[name], rows] = found
    return matrix, unweighed
