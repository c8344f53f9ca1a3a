"""A batch of calls as columns: of usage records, or of an Arrow table."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from steelyard.catalogue.offers import Called
from steelyard.rating import scalar
from steelyard.rating.lines import AT_LIMIT_US, UNITS_LIMIT
from steelyard.rating.parts import apart
from steelyard.values.meters import METERS, PROMPT_METERS
from steelyard.values.usage import STANDARD, UsageRecord

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Key = TypeVar("Key")

METER_ROW = {name: row for row, name in enumerate(METERS)}
ID_BYTES = 16
_SPARSE = 1 << 20
"""From how many possible codes on they are sorted instead of counted."""

WORDS = {
    "contract": "",
    "model": "",
    "deployment": "",
    "service_tier": STANDARD,
    "region": "",
    "mode": "",
}
"""The columns of words that a table of usage may have, and what holds where it has them not."""

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
        prompt_tokens=_prompt_tokens(charged, charged_meters),
    )


def columns_of(table: pa.Table, edition: int) -> Calls:
    """Turn a table of usage into columns, a call a row; all of them are of one edition.

    Shape: ``call_id`` of 16 bytes, ``at_us``, ``contract``, ``model`` have to be there;
    ``deployment``, ``service_tier``, ``region``, ``mode``, ``duration_us`` and a column for each
    meter, by its name, may be. Nothing is null.
    """
    count = table.num_rows
    at_us = _numbers(table, "at_us")
    group, groups = _coded_words(table)
    charged = np.zeros((len(METERS), count), dtype=np.int64)
    unweighed = np.zeros(count, dtype=np.bool_)
    for name, row in METER_ROW.items():
        if name in table.column_names:
            charged[row] = found = _numbers(table, name)
            if count and (int(found.min()) < 0 or int(found.max()) > UNITS_LIMIT):
                unweighed |= (found < 0) | (found > UNITS_LIMIT)
    ended_us = at_us
    if "duration_us" in table.column_names:
        lasted = np.maximum(_numbers(table, "duration_us"), 0)
        ended_us = np.minimum(at_us, AT_LIMIT_US) + np.minimum(lasted, AT_LIMIT_US)
        ended_us = np.minimum(ended_us, AT_LIMIT_US)
    used = _used(charged)
    return Calls(
        ids=_bytes(table.column("call_id")),
        call=np.arange(count, dtype=np.int64),
        at_us=at_us,
        ended_us=ended_us,
        group=group,
        groups=tuple(Group(edition, *key) for key in groups),
        charged=charged,
        produced=charged,
        unweighed=unweighed,
        charged_meters=used,
        produced_meters=used,
        prompt_tokens=_prompt_tokens(charged, used),
    )


def _numbers(table: pa.Table, name: str) -> Ints:
    return table.column(name).combine_chunks().to_numpy(zero_copy_only=False)


def _bytes(column: pa.ChunkedArray[Any]) -> bytes:
    ids = column.combine_chunks()
    held = memoryview(cast("bytes", ids.buffers()[1]))
    return bytes(held[ids.offset * ID_BYTES : (ids.offset + len(ids)) * ID_BYTES])


def _coded_words(table: pa.Table) -> tuple[Ints, list[tuple[str, str, str, Called]]]:
    """Number what calls have in common, in the order of its words."""
    words: list[list[str]] = []
    code = np.zeros(table.num_rows, dtype=np.int64)
    for name, default in WORDS.items():
        if name not in table.column_names:
            words.append([default])
            continue
        column = table.column(name)
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        coded = cast("Any", column.unify_dictionaries().combine_chunks())
        words.append(coded.dictionary.to_pylist())
        code = code * len(words[-1]) + coded.indices.to_numpy()
    present, group = _numbered(code, math.prod(map(len, words)))
    groups: list[tuple[str, str, str, Called]] = []
    rests: list[int] = present.tolist()
    for rest in rests:
        left, found = rest, list[str]()
        for known in reversed(words):
            left, place = divmod(left, len(known))
            found.append(known[place])
        contract, model, deployment, *called = reversed(found)
        groups.append((contract, model, deployment, Called(*called)))
    return group, groups


def _numbered(code: Ints, space: int) -> tuple[Ints, Ints]:
    """The codes that occur, in order, and each code's place among them."""
    if space > _SPARSE:
        return np.unique(code, return_inverse=True)
    seen = np.zeros(space, dtype=np.bool_)
    seen[code] = True
    present = np.flatnonzero(seen)
    place = np.zeros(space, dtype=np.int64)
    place[present] = np.arange(len(present))
    return present, place[code]


def _prompt_tokens(charged: Ints, used: tuple[str, ...]) -> Ints:
    tokens = np.zeros(charged.shape[1], dtype=np.int64)
    for name in PROMPT_METERS:
        if name in used:
            tokens += charged[METER_ROW[name]]
    return tokens


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
