"""Rating in columns: the lines of ``scalar``, in its order, bit for bit, for a batch at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from steelyard.catalogue import offers
from steelyard.catalogue.documents import COUNTED, Edition, Tariff
from steelyard.catalogue.offers import Offer
from steelyard.rating import counting, slots
from steelyard.rating.calls import Calls, Group, Ints, columns
from steelyard.rating.clocks import holding, month_of
from steelyard.rating.counting import Counter
from steelyard.rating.crediting import credit
from steelyard.rating.dividing import apportion
from steelyard.rating.divisible import Counts, Divisible, Times, undivided
from steelyard.rating.lines import AT_LIMIT_US, Reason, Unrated
from steelyard.rating.scalar import tariff_of
from steelyard.rating.slots import Part, Priced
from steelyard.rating.standing import places_for
from steelyard.rating.tabling import months_of, table, units_of
from steelyard.values.periods import Month

__all__ = ["Calls", "Rated", "columns", "rate"]

_FEW = 1 << 16


class Rated(NamedTuple):
    """A batch's lines, of ``lines.SCHEMA``, and its calls that have none."""

    table: pa.Table
    unrated: list[Unrated]
    counters: dict[Counter, int]
    """Those that changed."""


def rate(
    calls: Calls,
    editions: Mapping[int, Edition],
    first_open: Month | None,
    counters: Mapping[Counter, int],
) -> Rated:
    """The lines of a batch in the order of its calls, and the calls that have none, each why."""
    refused: list[tuple[int, Reason]] = []

    def refuse(rows: Ints, reason: Reason) -> None:
        refused.extend((row, reason) for row in rows.tolist())

    offered = list(_by_offer(calls, editions, refuse))
    unrated = _unrated(calls, refused)
    without = np.zeros(len(calls.ids) // 16, dtype=np.bool_)
    without[[each.row for each in unrated]] = True
    parts = [
        slots.part(calls, chosen, Priced(group, offer, window, tariff, place))
        for group, rows, offer in offered
        if len(kept := rows[~without[calls.call[rows]]])
        for in_window, window, tariff in _by_window(calls, kept, offer)
        for chosen, place in _by_tier(calls, in_window, tariff)
    ]
    months = months_of(calls, parts, first_open)
    units, changed = _counted(calls, parts, months, first_open, counters)
    return Rated(table(calls, parts, months, units), unrated, changed)


def _unrated(calls: Calls, refused: list[tuple[int, Reason]]) -> list[Unrated]:
    """The calls of parts that were refused, each with the reason of its first one."""
    found: dict[int, Reason] = {}
    for part, reason in sorted(refused):
        found.setdefault(int(calls.call[part]), reason)
    return [
        Unrated(row=row, call_id=calls.ids[16 * row : 16 * row + 16], reason=reason)
        for row, reason in found.items()
    ]


def _by_offer(
    calls: Calls, editions: Mapping[int, Edition], refuse: Callable[[Ints, Reason], None]
) -> Iterator[tuple[Group, Ints, Offer]]:
    # Few groups are sorted by counting, which is much quicker.
    few = len(calls.groups) < _FEW
    order = np.argsort(calls.group.astype(np.uint16) if few else calls.group, kind="stable")
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


def _by_window(calls: Calls, rows: Ints, offer: Offer) -> Iterator[tuple[Ints, int | None, Tariff]]:
    assert offer.tariff is not None
    if not offer.peaks:
        yield rows, None, offer.tariff
        return
    found = np.full(len(rows), len(offer.peaks))
    for place in reversed(range(len(offer.peaks))):
        peak = offer.peaks[place]
        at_us = calls.ended_us if peak.window.by == "end" else calls.at_us
        found[holding(peak, at_us[rows])] = place
    for place in (*range(len(offer.peaks)), None):
        chosen = rows[found == (len(offer.peaks) if place is None else place)]
        if len(chosen):
            yield chosen, place, tariff_of(offer, place)


def _by_tier(calls: Calls, rows: Ints, tariff: Tariff) -> Iterator[tuple[Ints, int]]:
    if len(tariff.tiers) == 1 or tariff.kind in COUNTED:
        yield rows, 0
        return
    found = places_for(tariff, calls.prompt_tokens[rows])
    for place in range(len(tariff.tiers)):
        chosen = rows[found == place]
        if len(chosen):
            yield chosen, place


def _counted(
    calls: Calls,
    parts: list[Part],
    months: Ints,
    first_open: Month | None,
    counters: Mapping[Counter, int],
) -> tuple[list[Ints], dict[Counter, int]]:
    """The units of all slots, and what changes of what one call leaves for the next."""
    if not any(part.offer.grants or counting.depends(part.tariff) for part in parts):
        return units_of(calls, parts, [undivided()] * len(parts)), {}
    numbers, month = np.unique(months, return_inverse=True)
    among = [month_of(number) for number in numbers.tolist()]
    times = Times(calls.at_us, calls.ended_us, month, among, first_open)
    divisible = [
        Divisible(
            part.rows,
            part.group.contract,
            part.group.model,
            part.offer,
            part.window,
            part.tariff,
            frozenset(part.priced),
        )
        for part in parts
    ]
    counts = Counts(counters)
    divided = apportion(calls.charged, times, divisible, counts)
    units = units_of(calls, parts, divided)
    credit(calls.charged, times, list(zip(parts, divisible, strict=True)), units, counts)
    return units, counts.changed
