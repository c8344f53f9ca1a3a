"""The specification of rating: one call at a time, in plain integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition
from steelyard.catalogue.offers import Offer
from steelyard.rating.lines import AT_LIMIT_US, UNITS_LIMIT, Line, Reason, Side, Unrated
from steelyard.values import periods
from steelyard.values.meters import METERS, PROMPT_METERS
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord


def rate(
    records: Sequence[UsageRecord], editions: Mapping[int, Edition], first_open: Month | None
) -> tuple[list[Line], list[Unrated]]:
    """The lines of a batch in the order of its records, and the calls that have none, each why."""
    lines: list[Line] = []
    unrated: list[Unrated] = []
    for row, record in enumerate(records):
        found = offer_for(record, editions)
        if isinstance(found, Offer):
            lines += rate_call(record, found, first_open)
        else:
            unrated.append(Unrated(row=row, call_id=record.call_id, reason=found))
    return lines, unrated


def offer_for(record: UsageRecord, editions: Mapping[int, Edition]) -> Offer | Reason:
    """The offer that prices a call, or why there is none."""
    edition = editions.get(record.edition)
    if edition is None:
        return "edition"
    timeline = offers.timeline(edition, record.contract, record.model, record.deployment)
    if not timeline:
        return "contract"
    offer = offers.at(timeline, record.at_us)
    if offer is None or record.at_us >= AT_LIMIT_US:
        return "time"
    counts = [*record.meters.values(), *(record.produced or {}).values()]
    if any(not 0 <= units <= UNITS_LIMIT for units in counts):
        return "units"
    return "model" if offer.tariff is None else offer


def rate_call(record: UsageRecord, offer: Offer, first_open: Month | None) -> tuple[Line, ...]:
    """The lines of one call: what is charged by meter, then what it costs by component and meter.

    A meter without units or without a price has no line; a price of zero has one, so that what was
    given away can be seen. A call of a month that is closed is booked in the first open one.
    """
    assert offer.tariff is not None, "a model that is not sold has no lines"
    period = periods.month_of(record.at_us, offer.zone)
    if first_open is not None:
        period = max(period, first_open)
    charged = record.meters
    produced = record.meters if record.produced is None else record.produced
    prompt_tokens = sum(charged.get(meter, 0) for meter in PROMPT_METERS)

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

    tier = offers.tier_for(offer.tariff, prompt_tokens)
    lines = [
        line("charge", "", offer.customer, meter, charged[meter], tier.rates.prices[meter])
        for meter in METERS
        if meter in tier.rates.prices and charged.get(meter)
    ]
    lines += [
        line("cost", rule.component, rule.earner, meter, produced[meter], rule.rates.prices[meter])
        for rule in offer.costs
        for meter in METERS
        if meter in rule.rates.prices and produced.get(meter)
    ]
    return tuple(lines)
