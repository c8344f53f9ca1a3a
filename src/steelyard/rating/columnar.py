"""Rating in columns: the lines of ``scalar``, in its order, bit for bit, for a batch at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition, Tariff, Tier
from steelyard.catalogue.offers import Offer, Peak
from steelyard.rating.calendar import MINUTE_US, holds
from steelyard.rating.calls import Calls, Flags, Group, Ints, columns
from steelyard.rating.counting import Counter
from steelyard.rating.dividing import apportion
from steelyard.rating.divisible import NOTHING, Divided, Divisible
from steelyard.rating.lines import AT_LIMIT_US, Reason, Side, Unrated
from steelyard.rating.tabling import Part, Slot, month_of, months_of, table
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.periods import Month

__all__ = ["Calls", "Rated", "columns", "rate"]

_INT64_MAX = 2**63 - 1


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
        Part(chosen, group, offer, tariff, _slots(calls, group, offer, tariff, place))
        for group, rows, offer in offered
        if len(kept := rows[~without[calls.call[rows]]])
        for in_window, tariff in _by_window(calls, kept, offer)
        for chosen, place in _by_tier(calls, in_window, tariff)
    ]
    months = months_of(calls, parts, first_open)
    divided, changed = _divided(calls, parts, months, counters)
    return Rated(table(calls, parts, months, divided), unrated, changed)


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
    if len(tiers) == 1 or tariff.kind == "graduated":
        yield rows, 0
        return
    prompt_tokens = calls.prompt_tokens[rows]
    limits = np.array([_limit(tier) for tier in tiers[:-1]], dtype=np.int64)
    side = "left" if tariff.boundary == "closed" else "right"
    found = np.searchsorted(limits, prompt_tokens, side=side)
    for place in range(len(tiers)):
        chosen = rows[found == place]
        if len(chosen):
            yield chosen, place


def _limit(tier: Tier) -> int:
    return _INT64_MAX if tier.up_to is None else min(tier.up_to, _INT64_MAX)


def _slots(calls: Calls, group: Group, offer: Offer, tariff: Tariff, place: int) -> list[Slot]:
    def slot(
        side: Side,
        component: str,
        party: str,
        meter: str,
        price_pico: int,
        span: tuple[int, int] | None = None,
    ) -> Slot:
        version = offer.price_version if side == "charge" else offer.cost_version
        return Slot(
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

    charges: list[Slot] = []
    for meter in calls.charged_meters:
        priced = list(_prices(tariff, place, meter))
        for number, grant in enumerate(offer.grants):
            if priced and meter in grant.meters:
                free = slot("charge", "", offer.customer, meter, 0)
                version = f"{offer.price_version} {grant.id}@{grant.since}"
                charges.append(free._replace(version=version, grant=number))
        charges += [
            slot("charge", "", offer.customer, meter, price, span) for price, span in priced
        ]
    return charges + [
        slot("cost", rule.component, rule.earner, meter, rule.rates.prices[meter])
        for rule in offer.costs
        for meter in calls.produced_meters
        if meter in rule.rates.prices
    ]


def _prices(tariff: Tariff, place: int, meter: str) -> Iterator[tuple[int, tuple[int, int] | None]]:
    """The prices of a meter for a prompt that ends in a tier, and for which part of it each is."""
    spread = tariff.kind == "progressive" and meter in PROMPT_METERS
    if spread or tariff.kind == "graduated":
        limits = [0, *map(_limit, tariff.tiers)]
        for tier, span in zip(tariff.tiers, itertools.pairwise(limits), strict=True):
            if meter in tier.rates.prices:
                yield tier.rates.prices[meter], span
    elif meter in tariff.tiers[place].rates.prices:
        yield tariff.tiers[place].rates.prices[meter], None


def _divided(
    calls: Calls, parts: list[Part], months: Ints, counters: Mapping[Counter, int]
) -> tuple[list[Divided], dict[Counter, int]]:
    """What depends on other calls; nothing where no contract has such prices."""
    if not any(part.offer.grants or part.tariff.kind == "graduated" for part in parts):
        return [NOTHING] * len(parts), {}
    numbers, month = np.unique(months, return_inverse=True)
    divisible = [
        Divisible(
            part.rows,
            part.group.contract,
            part.group.model,
            part.offer,
            part.tariff,
            frozenset(slot.meter for slot in part.slots if slot.side == "charge"),
        )
        for part in parts
    ]
    return apportion(
        calls.charged, divisible, [month_of(n) for n in numbers.tolist()], month, counters
    )
