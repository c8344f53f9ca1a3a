"""The specification of rating: one call at a time, in plain integers."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import NamedTuple

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition, Tariff
from steelyard.catalogue.offers import Called, Offer
from steelyard.rating import calendar, counting, covering
from steelyard.rating.counting import Counter
from steelyard.rating.lines import AT_LIMIT_US, UNITS_LIMIT, Line, Reason, Side, Unrated
from steelyard.rating.parts import parts
from steelyard.values import periods
from steelyard.values.meters import METERS, PROMPT_METERS, PROMPT_ORDER
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord


class Counted(NamedTuple):
    """Lines, calls without, and the counters that changed."""

    lines: list[Line]
    unrated: list[Unrated]
    counters: dict[Counter, int]


def rate(
    records: Sequence[UsageRecord],
    editions: Mapping[int, Edition],
    first_open: Month | None,
    counters: Mapping[Counter, int],
) -> Counted:
    """The lines of a batch in the order of its records, and the calls that have none, each why.

    A call has all the lines of all its parts, or none, and then it is not counted either. Calls are
    counted in the order of the records.
    """
    lines: list[Line] = []
    unrated: list[Unrated] = []
    changed: dict[Counter, int] = {}
    before = dict(counters)
    for row, record in enumerate(records):
        found: list[Line] = []
        counted = ChainMap[Counter, int]({}, changed, before)
        for part in parts(record):
            offer = offer_for(part, editions)
            if not isinstance(offer, Offer):
                unrated.append(Unrated(row=row, call_id=record.call_id, reason=offer))
                break
            found += rate_call(part, offer, first_open, counted)
        else:
            lines += found
            changed |= counted.maps[0]
    return Counted(lines, unrated, changed)


def offer_for(record: UsageRecord, editions: Mapping[int, Edition]) -> Offer | Reason:
    """The offer that prices a call, or why there is none."""
    edition = editions.get(record.edition)
    if edition is None:
        return "edition"
    called = Called(record.service_tier, record.region, record.mode)
    timeline = offers.timeline(edition, record.contract, record.model, record.deployment, called)
    if not timeline:
        return "contract"
    offer = offers.at(timeline, record.at_us)
    if offer is None or record.at_us >= AT_LIMIT_US:
        return "time"
    counts = [*record.meters.values(), *(record.produced or {}).values()]
    if any(not 0 <= units <= UNITS_LIMIT for units in counts):
        return "units"
    return "model" if offer.tariff is None else offer


def price_pico(record: UsageRecord, offer: Offer) -> int:
    """What a call is charged by itself, as if it were the first and without any grant.

    Unit: pico-units of the offer's currency.
    """
    tariff, charged = tariff_for(record, offer), record.meters
    if tariff.kind == "whole":
        tier = offers.tier_for(tariff, sum(charged.get(each, 0) for each in PROMPT_METERS))
        prices, price = tier.rates.prices, 0
        for meter, units in charged.items():
            price += units * prices.get(meter, 0)
        return price
    return sum(
        units * price
        for meter in charged
        if meter in METERS
        for units, price in _priced(tariff, charged, meter, 0, 0)
    )


def rate_call(
    record: UsageRecord,
    offer: Offer,
    first_open: Month | None,
    counters: MutableMapping[Counter, int],
) -> tuple[Line, ...]:
    """The lines of one part of a call: charges by meter, then costs by component and meter.

    A meter without units or without a price has no line; a price of zero has one, so that what was
    given away can be seen: what a grant covers stands first, under the grant's name. A call of a
    month that is closed is booked in the first open one. ``counters`` are brought up to date.
    """
    tariff = tariff_for(record, offer)
    period = periods.month_of(record.at_us, offer.zone)
    if first_open is not None:
        period = max(period, first_open)
    produced = record.meters if record.produced is None else record.produced

    def line(
        side: Side, component: str, party: str, meter: str, units: int, price: int, version: str
    ) -> Line:
        return Line(
            call_id=record.call_id,
            at_us=record.at_us,
            period=str(period),
            customer=offer.customer,
            contract=record.contract,
            model=record.model,
            deployment=record.deployment,
            side=side,
            component=component,
            party=party,
            meter=meter,
            units=units,
            price_pico=price,
            amount_pico=units * price,
            currency=offer.currency,
            version=version,
        )

    lines = [
        line("charge", "", offer.customer, meter, units, price, version)
        for meter, units, price, version in _charges(record, offer, tariff, period, counters)
        if units
    ]
    lines += [
        line(
            "cost",
            rule.component,
            rule.earner,
            meter,
            produced[meter],
            rule.rates.prices[meter],
            offer.cost_version,
        )
        for rule in offer.costs
        for meter in METERS
        if meter in rule.rates.prices and produced.get(meter)
    ]
    return tuple(lines)


def _charges(
    record: UsageRecord,
    offer: Offer,
    tariff: Tariff,
    period: Month,
    counters: MutableMapping[Counter, int],
) -> Iterator[tuple[str, int, int, str]]:
    """Each part of a call's units at one price: meter, units, price, version."""
    charged, contract, model = record.meters, record.contract, record.model
    priced = [meter for meter in METERS if list(_priced(tariff, charged, meter, 0, 0))]
    rest, covered = covering.cover(record, offer, priced, period, counters)
    for meter in priced:
        for units, grant in covered[meter]:
            yield meter, units, 0, f"{offer.price_version} {grant.id}@{grant.since}"
        position = 0
        if tariff.kind == "graduated":
            key = counting.of_tiers(contract, tariff, model, meter, period)
            position = counters.get(key, 0)
            if rest[meter]:
                counters[key] = min(position + rest[meter], counting.COUNTER_MAX)
        taken = charged.get(meter, 0) - rest[meter]
        for units, price in _priced(tariff, charged, meter, taken, position):
            yield meter, units, price, offer.price_version


def tariff_for(record: UsageRecord, offer: Offer) -> Tariff:
    """The prices of a call: those of the window that it falls into, or else the offer's own."""
    assert offer.tariff is not None, "a model that is not sold has no prices"
    place = calendar.peak_of(offer, record.at_us, ended_us(record))
    return offer.tariff if place is None else offer.peaks[place].tariff


def ended_us(record: UsageRecord) -> int:
    """When a call ended; one whose length is not known ended when it began."""
    return min(record.at_us + max(record.duration_us or 0, 0), AT_LIMIT_US)


def _priced(
    tariff: Tariff, charged: Mapping[str, int], meter: str, taken: int, position: int
) -> Iterator[tuple[int, int]]:
    """The units of a meter at each of its prices, without the first ones that are ``taken``.

    ``position`` is how many were used before in the month.
    """
    units = charged.get(meter, 0) - taken
    if tariff.kind == "graduated":
        yield from _spread(tariff, meter, position, units)
    elif tariff.kind == "progressive" and meter in PROMPT_METERS:
        before = PROMPT_ORDER[: PROMPT_ORDER.index(meter)]
        first = sum(charged.get(each, 0) for each in before)
        yield from _spread(tariff, meter, first + taken, units)
    else:
        tier = offers.tier_for(tariff, sum(charged.get(each, 0) for each in PROMPT_METERS))
        if meter in tier.rates.prices:
            yield units, tier.rates.prices[meter]


def _spread(tariff: Tariff, meter: str, first: int, units: int) -> Iterator[tuple[int, int]]:
    """Units over tiers, from the place of the first one on."""
    below = 0
    for tier in tariff.tiers:
        up_to = first + units if tier.up_to is None else tier.up_to
        if meter in tier.rates.prices:
            part = min(first + units, up_to) - max(first, below)
            yield max(part, 0), tier.rates.prices[meter]
        below = up_to
