"""The specification of rating: one call at a time, in plain integers."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import NamedTuple

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition, Tariff
from steelyard.catalogue.offers import Called, Offer
from steelyard.rating import calendar, counting, covering, tiered
from steelyard.rating.counting import Counter
from steelyard.rating.lines import AT_LIMIT_US, UNITS_LIMIT, Line, Reason, Side, Unrated
from steelyard.rating.parts import parts
from steelyard.rating.tiered import MINIMUM, Use
from steelyard.values import periods
from steelyard.values.meters import METERS
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord


class Charge(NamedTuple):
    """A part of a call's units at one price; ``own``: it is the call's, and no grant covers it."""

    meter: str
    units: int
    price_pico: int
    version: str
    own: bool = False


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
    price, priced = 0, False
    if tariff.kind == "whole" and not tariff.blocks:
        tier = tariff.tiers[0]
        if tier.up_to is not None:
            tier = offers.tier_for(tariff, tiered.prompt_tokens(charged))
        for meter, each in tier.rates.prices.items():
            if units := charged.get(meter):
                price += units * each
                priced = True
    else:
        for meter in METERS:
            for _, units, each in tiered.pieces(Use(tariff, charged, meter)):
                price += units * each
                priced |= units > 0
    return max(price, tariff.minimum_pico) if priced else price


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
        line("charge", "", offer.customer, *each[:4])
        for each in _charges(record, offer, period, first_open, counters)
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
    period: Month,
    first_open: Month | None,
    counters: MutableMapping[Counter, int],
) -> list[Charge]:
    """Each part of a call's units at one price, and then what credits pay of it."""
    window = calendar.peak_of(offer, record.at_us, ended_us(record))
    tariff = tariff_of(offer, window)
    priced = [each for each in METERS if tiered.is_priced(tariff, record.meters, each)]
    call = call_of(record, offer, tariff, period)
    rest, covered = covering.cover(call, offer.grants, priced, counters)
    found: list[Charge] = []
    for meter in priced:
        for units, grant in covered[meter]:
            version = f"{offer.price_version} {grant.id}@{grant.since}"
            found.append(Charge(meter, units, 0, version))
        taken = record.meters.get(meter, 0) - rest[meter]
        use = Use(tariff, record.meters, meter, taken)
        if tiered.is_counted(tariff, meter):
            named = counting.period_named(tariff.per, record.at_us, offer.zone, first_open)
            key = counting.of_use(record.contract, tariff, record.model, meter, named)
            use = use._replace(position=counters.get(key, 0))
            if use.units:
                counters[key] = tiered.position_after(use)
                if tariff.kind == "volume" and meter not in tariff.blocks:
                    found += _repriced(use, key, offer, window, counters)
        version = offer.price_version
        found += [Charge(*each, version, own=True) for each in tiered.pieces(use) if each[1]]
    found = _at_least(found, tariff, offer)
    return found + _credits(found, call, offer, counters)


def call_of(record: UsageRecord, offer: Offer, tariff: Tariff, period: Month) -> covering.Call:
    """A call as grants see it, which counts in a month."""
    times_us = (record.at_us, ended_us(record))
    names = (record.contract, record.model, offer.zone)
    return covering.call_of(names, period, times_us, tariff, record.meters)


def _at_least(found: list[Charge], tariff: Tariff, offer: Offer) -> list[Charge]:
    """The charges of a call, or what a call costs at least."""
    own = [each for each in found if each.own]
    if not own or sum(each.units * each.price_pico for each in own) >= tariff.minimum_pico:
        return found
    free = [each._replace(price_pico=0) if each.own else each for each in found]
    return [*free, Charge(MINIMUM, 1, tariff.minimum_pico, offer.price_version)]


def _credits(
    found: list[Charge],
    call: covering.Call,
    offer: Offer,
    counters: MutableMapping[Counter, int],
) -> list[Charge]:
    """What credits pay of a call's charges: a pico-unit each is taken back."""
    amounts: dict[str, int] = {}
    for each in found:
        amounts[each.meter] = amounts.get(each.meter, 0) + each.units * each.price_pico
    return [
        Charge("credit", paid, -1, f"{offer.price_version} {grant.id}@{grant.since}")
        for paid, grant in covering.credited(call, offer.grants, amounts, counters)
    ]


def _repriced(
    use: Use,
    key: Counter,
    offer: Offer,
    window: int | None,
    counters: MutableMapping[Counter, int],
) -> Iterator[Charge]:
    """What was used before at the tier reached before, taken back, and at the one reached now.

    It is done for what this version has priced, in each of its windows.
    """
    version = offer.price_version
    reached = counting.of_reached(key, version)
    old = min(counters.get(reached, 0), len(use.tariff.tiers) - 1)
    new = tiered.place_for(use.tariff, use.position + use.units)
    if new != counters.get(reached, 0):
        counters[reached] = new
    if new != old:
        for place in (*range(len(offer.peaks)), None):
            units = counters.get(counting.of_volume(key, version, place), 0)
            tiers = tariff_of(offer, place).tiers
            for count, tier in ((-units, tiers[old]), (units, tiers[new])):
                if units and use.meter in tier.rates.prices:
                    yield Charge(use.meter, count, tier.rates.prices[use.meter], version)
    mine = counting.of_volume(key, version, window)
    counters[mine] = min(counters.get(mine, 0) + use.units, counting.COUNTER_MAX)


def tariff_for(record: UsageRecord, offer: Offer) -> Tariff:
    """The prices of a call: those of the window that it falls into, or else the offer's own."""
    if not offer.peaks:
        return tariff_of(offer, None)
    return tariff_of(offer, calendar.peak_of(offer, record.at_us, ended_us(record)))


def tariff_of(offer: Offer, window: int | None) -> Tariff:
    """The prices of an offer in one of its windows, or outside all of them."""
    assert offer.tariff is not None, "a model that is not sold has no prices"
    return offer.tariff if window is None else offer.peaks[window].tariff


def ended_us(record: UsageRecord) -> int:
    """When a call ended; one whose length is not known ended when it began."""
    return min(record.at_us + max(record.duration_us or 0, 0), AT_LIMIT_US)
