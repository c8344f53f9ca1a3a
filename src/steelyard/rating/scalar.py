"""The specification of rating: one call at a time, in plain integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition, Tariff
from steelyard.catalogue.offers import Called, Offer
from steelyard.rating import calendar
from steelyard.rating.lines import AT_LIMIT_US, UNITS_LIMIT, Line, Reason, Side, Unrated
from steelyard.rating.parts import parts
from steelyard.values import periods
from steelyard.values.meters import METERS, PROMPT_METERS, PROMPT_ORDER
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord


def rate(
    records: Sequence[UsageRecord], editions: Mapping[int, Edition], first_open: Month | None
) -> tuple[list[Line], list[Unrated]]:
    """The lines of a batch in the order of its records, and the calls that have none, each why.

    A call has all the lines of all its parts, or none.
    """
    lines: list[Line] = []
    unrated: list[Unrated] = []
    for row, record in enumerate(records):
        found: list[Line] = []
        for part in parts(record):
            offer = offer_for(part, editions)
            if not isinstance(offer, Offer):
                unrated.append(Unrated(row=row, call_id=record.call_id, reason=offer))
                break
            found += rate_call(part, offer, first_open)
        else:
            lines += found
    return lines, unrated


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
    """What a call is charged: the sum of its lines. Unit: pico-units of the offer's currency."""
    tariff, charged = tariff_for(record, offer), record.meters
    return sum(
        units * price
        for meter in charged
        if meter in METERS
        for units, price in _priced(tariff, charged, meter)
    )


def rate_call(record: UsageRecord, offer: Offer, first_open: Month | None) -> tuple[Line, ...]:
    """The lines of one part of a call: charges by meter, then costs by component and meter.

    A meter without units or without a price has no line; a price of zero has one, so that what was
    given away can be seen. A call of a month that is closed is booked in the first open one.
    """
    tariff = tariff_for(record, offer)
    period = periods.month_of(record.at_us, offer.zone)
    if first_open is not None:
        period = max(period, first_open)
    charged = record.meters
    produced = record.meters if record.produced is None else record.produced

    def line(side: Side, component: str, party: str, meter: str, units: int, price: int) -> Line:
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
            version=offer.price_version if side == "charge" else offer.cost_version,
        )

    lines = [
        line("charge", "", offer.customer, meter, units, price)
        for meter in METERS
        for units, price in _priced(tariff, charged, meter)
        if units
    ]
    lines += [
        line("cost", rule.component, rule.earner, meter, produced[meter], rule.rates.prices[meter])
        for rule in offer.costs
        for meter in METERS
        if meter in rule.rates.prices and produced.get(meter)
    ]
    return tuple(lines)


def tariff_for(record: UsageRecord, offer: Offer) -> Tariff:
    """The prices of a call: those of the window that it falls into, or else the offer's own."""
    assert offer.tariff is not None, "a model that is not sold has no prices"
    place = calendar.peak_of(offer, record.at_us, ended_us(record))
    return offer.tariff if place is None else offer.peaks[place].tariff


def ended_us(record: UsageRecord) -> int:
    """When a call ended; one whose length is not known ended when it began."""
    return min(record.at_us + max(record.duration_us or 0, 0), AT_LIMIT_US)


def _priced(tariff: Tariff, charged: Mapping[str, int], meter: str) -> Iterator[tuple[int, int]]:
    """The units of a meter at each of its prices."""
    prompt_tokens = sum(charged.get(each, 0) for each in PROMPT_METERS)
    units = charged.get(meter, 0)
    if tariff.kind == "progressive" and meter in PROMPT_METERS:
        before = PROMPT_ORDER[: PROMPT_ORDER.index(meter)]
        first = sum(charged.get(each, 0) for each in before)
        below = 0
        for tier in tariff.tiers:
            up_to = first + units if tier.up_to is None else tier.up_to
            if meter in tier.rates.prices:
                part = min(first + units, up_to) - max(first, below)
                yield max(part, 0), tier.rates.prices[meter]
            below = up_to
        return
    tier = offers.tier_for(tariff, prompt_tokens)
    if meter in tier.rates.prices:
        yield units, tier.rates.prices[meter]
