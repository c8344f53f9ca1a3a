"""Rating in columns: the lines of ``scalar``, in its order, bit for bit, for a batch at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition, Tariff, Tier
from steelyard.catalogue.offers import Called, Offer, Peak
from steelyard.rating import scalar
from steelyard.rating.calendar import MINUTE_US, holds
from steelyard.rating.lines import AT_LIMIT_US, SCHEMA, UNITS_LIMIT, Reason, Side, Unrated
from steelyard.rating.parts import apart
from steelyard.values import periods
from steelyard.values.meters import METERS, PROMPT_METERS, PROMPT_ORDER
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Key = TypeVar("Key")

_METER_ROW = {name: row for row, name in enumerate(METERS)}
_PROMPT_ROWS = [_METER_ROW[name] for name in PROMPT_METERS]
_INT64_MAX = 2**63 - 1
_MONTHS = 12

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


class Rated(NamedTuple):
    """A batch's lines, of ``lines.SCHEMA``, and its calls that have none."""

    table: pa.Table
    unrated: list[Unrated]


class _Slot(NamedTuple):
    """A line that each call of a part has, should it have units of the meter."""

    customer: str
    contract: str
    model: str
    deployment: str
    side: Side
    component: str
    party: str
    meter: str
    currency: str
    version: str
    price_pico: int
    span: tuple[int, int] | None
    """The part of the prompt whose tokens have this price; None: all units have it."""


class _Part(NamedTuple):
    """Calls of one group, one offer, one window and one tier, and their slots in order of lines."""

    rows: Ints
    zone: str
    slots: list[_Slot]


def columns(records: Sequence[UsageRecord]) -> Calls:
    """Turn records into columns."""
    ids = b"".join([record.call_id for record in records])
    records, call = apart(records)
    group, groups = _coded(map(_names_of, records), len(records))
    meters = [record.meters for record in records]
    charged, unweighed = _matrix(meters)
    made = [record.produced for record in records]
    produced = charged
    if made.count(None) < len(made):
        pairs = zip(meters, made, strict=True)
        produced, unproduced = _matrix([a if b is None else b for a, b in pairs])
        unweighed |= unproduced
    return Calls(
        ids=ids,
        call=np.array(call, dtype=np.int64),
        at_us=np.array([record.at_us for record in records], dtype=np.int64),
        ended_us=np.array([scalar.ended_us(record) for record in records], dtype=np.int64),
        group=group,
        groups=tuple(_group(*key) for key in groups),
        charged=charged,
        produced=produced,
        unweighed=unweighed,
    )


def rate(calls: Calls, editions: Mapping[int, Edition], first_open: Month | None) -> Rated:
    """The lines of a batch in the order of its calls, and the calls that have none, each why."""
    refused: list[tuple[int, Reason]] = []

    def refuse(rows: Ints, reason: Reason) -> None:
        refused.extend((row, reason) for row in rows.tolist())

    offered = list(_by_offer(calls, editions, refuse))
    unrated = _unrated(calls, refused)
    without = np.zeros(len(calls.ids) // 16, dtype=np.bool_)
    without[[each.row for each in unrated]] = True
    parts = [
        _Part(chosen, offer.zone, _slots(calls, group, offer, tariff, place))
        for group, rows, offer in offered
        if len(kept := rows[~without[calls.call[rows]]])
        for in_window, tariff in _by_window(calls, kept, offer)
        for chosen, place in _by_tier(calls, in_window, tariff)
    ]
    return Rated(_table(calls, parts, first_open), unrated)


def _unrated(calls: Calls, refused: list[tuple[int, Reason]]) -> list[Unrated]:
    """The calls of parts that were refused, each with the reason of its first one."""
    found: dict[int, Reason] = {}
    for part, reason in sorted(refused):
        found.setdefault(int(calls.call[part]), reason)
    return [
        Unrated(row=row, call_id=calls.ids[16 * row : 16 * row + 16], reason=reason)
        for row, reason in found.items()
    ]


def _group(edition: int, contract: str, model: str, deployment: str, *called: str) -> Group:
    return Group(edition, contract, model, deployment, Called(*called))


def _coded(keys: Iterable[Key], count: int) -> tuple[Ints, tuple[Key, ...]]:
    """Number keys in the order in which they are first seen."""
    codes: defaultdict[Key, int] = defaultdict(itertools.count().__next__)
    coded = np.fromiter(map(codes.__getitem__, keys), np.int64, count)
    return coded, tuple(codes)


def _matrix(counts: list[dict[str, int]]) -> tuple[Ints, Flags]:
    # Calls of one shape (the same meters in the same order) are scattered together: a loop over
    # the few shapes instead of one over all the counts.
    shape, shapes = _coded(map(tuple, counts), len(counts))
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
            if name in _METER_ROW:
                matrix[_METER_ROW[name], rows] = found
    return matrix, unweighed


def _by_offer(
    calls: Calls, editions: Mapping[int, Edition], refuse: Callable[[Ints, Reason], None]
) -> Iterator[tuple[Group, Ints, Offer]]:
    order = np.argsort(calls.group, kind="stable")
    ends = np.cumsum(np.bincount(calls.group, minlength=len(calls.groups)))
    for code, group in enumerate(calls.groups):
        rows = order[ends[code - 1] if code else 0 : ends[code]]
        edition = editions.get(group.edition)
        if edition is None:
            refuse(rows, "edition")
            continue
        timeline = offers.timeline(edition, *group[1:])
        if not timeline:
            refuse(rows, "contract")
            continue
        at_us = calls.at_us[rows]
        starts = np.array([offer.from_us for offer in timeline], dtype=np.int64)
        found = np.searchsorted(starts, at_us, side="right") - 1
        untimely = (found < 0) | (at_us >= AT_LIMIT_US)
        unweighed = calls.unweighed[rows] & ~untimely
        refuse(rows[untimely], "time")
        refuse(rows[unweighed], "units")
        found[untimely | unweighed] = -1
        for place, offer in enumerate(timeline):
            chosen = rows[found == place]
            if not len(chosen):
                continue
            if offer.tariff is None:
                refuse(chosen, "model")
            else:
                yield group, chosen, offer


def _by_window(calls: Calls, rows: Ints, offer: Offer) -> Iterator[tuple[Ints, Tariff]]:
    assert offer.tariff is not None
    if not offer.peaks:
        yield rows, offer.tariff
        return
    found = np.full(len(rows), len(offer.peaks))
    for place in reversed(range(len(offer.peaks))):
        peak = offer.peaks[place]
        at_us = calls.ended_us if peak.window.by == "end" else calls.at_us
        found[_holding(peak, at_us[rows])] = place
    tariffs = [*(peak.tariff for peak in offer.peaks), offer.tariff]
    for place, tariff in enumerate(tariffs):
        chosen = rows[found == place]
        if len(chosen):
            yield chosen, tariff


def _holding(peak: Peak, at_us: Ints) -> Flags:
    """Which instants a window holds at: asked once for each of the minutes that they are in."""
    minutes, place = np.unique(at_us // MINUTE_US, return_inverse=True)
    held = [holds(peak, minute * MINUTE_US) for minute in minutes.tolist()]
    return np.array(held, dtype=np.bool_)[place]


def _by_tier(calls: Calls, rows: Ints, tariff: Tariff) -> Iterator[tuple[Ints, int]]:
    tiers = tariff.tiers
    if len(tiers) == 1:
        yield rows, 0
        return
    prompt_tokens: Ints = calls.charged[_PROMPT_ROWS][:, rows].sum(axis=0)
    limits = np.array([_limit(tier) for tier in tiers[:-1]], dtype=np.int64)
    side = "left" if tariff.boundary == "closed" else "right"
    found = np.searchsorted(limits, prompt_tokens, side=side)
    for place in range(len(tiers)):
        chosen = rows[found == place]
        if len(chosen):
            yield chosen, place


def _limit(tier: Tier) -> int:
    return _INT64_MAX if tier.up_to is None else min(tier.up_to, _INT64_MAX)


def _slots(calls: Calls, group: Group, offer: Offer, tariff: Tariff, place: int) -> list[_Slot]:
    def slot(
        side: Side,
        component: str,
        party: str,
        meter: str,
        price_pico: int,
        span: tuple[int, int] | None = None,
    ) -> _Slot:
        version = offer.price_version if side == "charge" else offer.cost_version
        return _Slot(
            offer.customer,
            group.contract,
            group.model,
            group.deployment,
            side,
            component,
            party,
            meter,
            offer.currency,
            version,
            price_pico,
            span,
        )

    charged = [name for name, row in _METER_ROW.items() if calls.charged[row].any()]
    produced = [name for name, row in _METER_ROW.items() if calls.produced[row].any()]
    return [
        slot("charge", "", offer.customer, meter, price, span)
        for meter in charged
        for price, span in _prices(tariff, place, meter)
    ] + [
        slot("cost", rule.component, rule.earner, meter, rule.rates.prices[meter])
        for rule in offer.costs
        for meter in produced
        if meter in rule.rates.prices
    ]


def _prices(tariff: Tariff, place: int, meter: str) -> Iterator[tuple[int, tuple[int, int] | None]]:
    """The prices of a meter for a prompt that ends in a tier, and for which part of it each is."""
    if tariff.kind == "progressive" and meter in PROMPT_METERS:
        limits = [0, *map(_limit, tariff.tiers)]
        for tier, span in zip(tariff.tiers, itertools.pairwise(limits), strict=True):
            if meter in tier.rates.prices:
                yield tier.rates.prices[meter], span
    elif meter in tariff.tiers[place].rates.prices:
        yield tariff.tiers[place].rates.prices[meter], None


def _table(calls: Calls, parts: list[_Part], first_open: Month | None) -> pa.Table:
    slots = [slot for part in parts for slot in part.slots]
    row, slot, units = _placed(calls, parts)
    price_pico = np.array([each.price_pico for each in slots], dtype=np.int64)[slot]
    columns: dict[str, pa.Array[Any]] = {
        name: _word([getattr(each, name) for each in slots], slot)
        for name in _Slot._fields
        if name not in {"price_pico", "span"}
    }
    columns["period"] = _period(row, _months(calls, parts, first_open))
    ids = pa.Array.from_buffers(
        pa.binary(16), len(calls.ids) // 16, [None, pa.py_buffer(calls.ids)]
    )
    columns |= {
        "call_id": pa.DictionaryArray.from_arrays(
            calls.call[row].astype(np.int32), ids, safe=False
        ),
        "at_us": pa.array(calls.at_us[row]),
        "units": pa.array(units),
        "price_pico": pa.array(price_pico),
        "amount_pico": _products(units, price_pico),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _placed(calls: Calls, parts: list[_Part]) -> tuple[Ints, Ints, Ints]:
    # Each part's lines are found at once, and are then put where the scalar order has them: after
    # all lines of earlier calls, and after the earlier slots of their own call.
    counts = np.zeros(len(calls.at_us), dtype=np.int64)
    found: list[tuple[Ints, Ints, Flags]] = []
    for part in parts:
        units = np.empty((len(part.slots), len(part.rows)), dtype=np.int64)
        for place, slot in enumerate(part.slots):
            source = calls.charged if slot.side == "charge" else calls.produced
            units[place] = source[_METER_ROW[slot.meter]][part.rows]
            if slot.span is not None:
                units[place] = _within(units[place], _start(calls, part.rows, slot), slot.span)
        present = units != 0
        rank = np.cumsum(present, axis=0)
        if part.slots:
            counts[part.rows] = rank[-1]
        found.append((units, rank, present))
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    all_slots = np.empty(total, dtype=np.int64)
    all_units = np.empty(total, dtype=np.int64)
    first_slot = 0
    for part, (units, rank, present) in zip(parts, found, strict=True):
        place = ((ends - counts)[part.rows] + rank - 1)[present]
        slots = np.arange(first_slot, first_slot + len(part.slots), dtype=np.int64)
        all_units[place] = units[present]
        all_slots[place] = np.broadcast_to(slots[:, np.newaxis], units.shape)[present]
        first_slot += len(part.slots)
    return np.repeat(np.arange(len(counts)), counts), all_slots, all_units


def _start(calls: Calls, rows: Ints, slot: _Slot) -> Ints:
    """Where a meter's tokens begin in each prompt."""
    before = PROMPT_ORDER[: PROMPT_ORDER.index(slot.meter)]
    return calls.charged[[_METER_ROW[each] for each in before]][:, rows].sum(axis=0)


def _within(units: Ints, first: Ints, span: tuple[int, int]) -> Ints:
    """How many of the units that begin at ``first`` are in a span."""
    inside = np.minimum(first + units, span[1]) - np.maximum(first, span[0])
    return np.maximum(inside, 0)


def _months(calls: Calls, parts: list[_Part], first_open: Month | None) -> Ints:
    """The month of each call, counted from the year 0."""
    months = np.zeros(len(calls.at_us), dtype=np.int64)
    for part in parts:
        at_us = calls.at_us[part.rows]
        first = _number(periods.month_of(int(at_us.min()), part.zone))
        last = _number(periods.month_of(int(at_us.max()), part.zone))
        starts = [periods.bounds_us(_month(each), part.zone)[0] for each in range(first, last + 1)]
        months[part.rows] = first - 1 + np.searchsorted(starts, at_us, side="right")
    return months if first_open is None else np.maximum(months, _number(first_open))


def _period(row: Ints, months: Ints) -> pa.Array[Any]:
    """The column of periods: only months that some line is of."""
    lined = np.zeros(len(months), dtype=np.bool_)
    lined[row] = True
    found, places = np.unique(months[lined], return_inverse=True)
    place = np.zeros(len(months), dtype=np.int32)
    place[lined] = places
    return _dictionary(place[row], [str(_month(number)) for number in found.tolist()])


def _number(period: Month) -> int:
    return period.year * _MONTHS + period.month - 1


def _month(number: int) -> Month:
    return Month(number // _MONTHS, number % _MONTHS + 1)


def _word(words: list[str], slot: Ints) -> pa.Array[Any]:
    """A column of words that a line has from its slot."""
    code, known = _coded(words, len(words))
    return _dictionary(code.astype(np.int32)[slot], list(known))


def _dictionary(code: npt.NDArray[np.int32], words: list[str]) -> pa.Array[Any]:
    return cast(
        "pa.Array[Any]",
        pa.DictionaryArray.from_arrays(code, pa.array(words, pa.string()), safe=False),
    )


def _products(units: Ints, price_pico: Ints) -> pa.Array[Any]:
    """``units × price_pico`` in 128 bits, exactly.

    The low 64 bits are what a product that wraps leaves; the high ones are its sign, but for the
    products that do not fit, whose high bits Python's integers give.
    """
    low = units * price_pico
    words = np.empty((len(low), 2), dtype="<i8")
    words[:, 0] = low
    words[:, 1] = low >> 63
    size = np.abs(price_pico)
    if len(low) and int(units.max()) * int(size.max()) > _INT64_MAX:
        wide = np.flatnonzero(units > _INT64_MAX // np.maximum(size, 1))
        pairs = zip(units[wide].tolist(), price_pico[wide].tolist(), strict=True)
        words[wide, 1] = [count * price >> 64 for count, price in pairs]
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(low), [None, pa.py_buffer(words.data)])
