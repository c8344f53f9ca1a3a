"""How one call's price came about, step by step, in the order in which it is rated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec

from steelyard.catalogue import aloud, given, offers
from steelyard.catalogue.documents import COUNTED, Contract, Edition, ListPrice
from steelyard.catalogue.offers import Called, Offer
from steelyard.catalogue.phrases import Language, meter, say
from steelyard.rating import calendar, covering, scalar
from steelyard.rating.lines import Line
from steelyard.rating.parts import parts
from steelyard.rating.tiered import MINIMUM
from steelyard.values import ids, meters, money, periods
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.usage import UsageRecord


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The steps in words, and the lines that they lead to; no lines when there is no price."""

    steps: tuple[str, ...]
    lines: tuple[Line, ...]


def explain(
    record: UsageRecord, edition: Edition, lines: tuple[Line, ...], language: Language
) -> Explained:
    """Explain a call under the edition that its record names; ``lines`` are those booked for it."""
    offer = scalar.offer_for(record, {record.edition: edition})
    zone = offer.zone if isinstance(offer, Offer) else edition.zone
    steps = [_call(record, zone, language), _labels(record, language)]
    if not isinstance(offer, Offer):
        return Explained(steps=(*steps, say(language, "unrated", reason=offer)), lines=())
    steps += _price(record, edition, offer, language)
    steps += [_calendar(record, edition, offer, language), _tier(record, offer, language)]
    steps += _granted(record, offer, lines, language)
    steps += _repriced(lines, language)
    if any(line.meter == MINIMUM for line in lines):
        amount = money.exact(scalar.tariff_for(record, offer).minimum_pico)
        steps.append(say(language, "at_minimum", amount=amount))
    if len(found := parts(record)) > 1:
        steps.append(say(language, "tries", count=len(found) - 1))
    charged = sum(line.amount_pico for line in lines if line.side == "charge")
    period = lines[0].period if lines else str(periods.month_of(record.at_us, zone))
    amount = money.exact(charged)
    steps.append(say(language, "total", amount=amount, currency=offer.currency, period=period))
    return Explained(steps=tuple(steps), lines=lines)


def corrected(
    explained: Explained, batch: int, lines: tuple[Line, ...], language: Language
) -> Explained:
    """With what a correction has added to the call's lines; as it is where that is nothing."""
    if not lines:
        return explained
    amount = money.exact(sum(line.amount_pico for line in lines if line.side == "charge"))
    step = say(language, "corrected", batch=batch, amount=amount, currency=lines[0].currency)
    return Explained(steps=(*explained.steps, step), lines=(*explained.lines, *lines))


def _granted(
    record: UsageRecord, offer: Offer, lines: tuple[Line, ...], language: Language
) -> Iterator[str]:
    period = periods.month(lines[0].period) if lines else periods.month_of(0, "UTC")
    call = scalar.call_of(record, offer, scalar.tariff_for(record, offer), period)
    taken: dict[str, int] = {}
    for grant in offer.grants:
        for line in lines:
            if not line.version.endswith(f" {grant.id}@{grant.since}"):
                continue
            if grant.gives == "money":
                amount = money.exact(-line.amount_pico)
                yield say(
                    language, "credited", amount=amount, currency=line.currency, grant=grant.id
                )
                continue
            named = meter(language, line.meter)
            first = taken.get(line.meter, 0)
            taken[line.meter] = first + line.units
            yield say(language, "granted", units=f"{line.units:,}", meter=named, grant=grant.id)
            parts = covering.counted(grant, call, line.meter, first, line.units)
            if grant.burns and grant.gives != "calls" and parts is not None:
                size = given.size(grant, parts, line.currency, language)
                yield say(language, "counts_as", size=size)


def _repriced(lines: tuple[Line, ...], language: Language) -> Iterator[str]:
    """What was used before and is priced again: the lines come in pairs, the old price first."""
    for old, new in itertools.pairwise(lines):
        if old.units < 0 and new.units == -old.units and new.meter == old.meter:
            size, _ = meters.priced_per(old.meter)
            yield say(
                language,
                "repriced",
                units=f"{new.units:,}",
                meter=meter(language, new.meter),
                old=money.exact(old.price_pico * size),
                new=money.exact(new.price_pico * size),
                size=f"{size:,}",
            )


def _call(record: UsageRecord, zone: str, language: Language) -> str:
    return say(
        language,
        "call",
        id=ids.text(record.call_id),
        when=_when(record.at_us, zone),
        zone=zone,
        outcome=record.outcome,
        model=record.model,
        deployment=record.deployment or "-",
    )


def _labels(record: UsageRecord, language: Language) -> str:
    more = say(language, "said_region", region=record.region) if record.region else ""
    more += say(language, "said_mode", mode=record.mode) if record.mode else ""
    return say(language, "said", tier=record.service_tier, more=more)


def _price(
    record: UsageRecord, edition: Edition, offer: Offer, language: Language
) -> Iterator[str]:
    version = _version(edition, offer)
    called = Called(record.service_tier, record.region, record.mode)
    rule = offers.price_rule(version, record.model, called)
    assert rule is not None, "what is sold has a price"
    yield say(
        language,
        "version",
        edition=record.edition,
        contract=version.id,
        day=version.valid_from,
    )
    place = version.prices.index(rule) + 1
    yield say(language, "rule", place=place, model=aloud.priced_for(rule, language))
    listed = _listed(edition, rule.book, record, called)
    if listed is None:
        yield say(language, "rule_own")
    else:
        since = _when(listed.from_us, offer.zone)
        yield say(language, "rule_listed", book=rule.book, since=since, source=listed.source)
    if rule.discount_ppm:
        yield say(language, "a_discount", percent=aloud.percents(rule.discount_ppm))
    else:
        yield say(language, "no_discount")


def _version(edition: Edition, offer: Offer) -> Contract:
    return max(
        (
            each
            for each in edition.contracts
            if each.id == offer.contract and each.valid_from_us <= offer.from_us
        ),
        key=lambda each: each.valid_from_us,
    )


def _listed(
    edition: Edition, name: str | None, record: UsageRecord, called: Called
) -> ListPrice | None:
    for book in edition.books:
        if book.id == name:
            return offers.list_price(book, record.model, called, record.at_us)
    return None


def _calendar(record: UsageRecord, edition: Edition, offer: Offer, language: Language) -> str:
    if not offer.peaks:
        return say(language, "no_calendar")
    place = calendar.peak_of(offer, record.at_us, scalar.ended_us(record))
    held = offer.peaks[0 if place is None else place].window
    at_us = scalar.ended_us(record) if held.by == "end" else record.at_us
    when = f"{_when(at_us, held.zone)} ({held.zone})"
    if place is None:
        return say(language, "in_no_window", when=when)
    return say(
        language, "in_window", when=when, window=aloud.window(edition.holidays, held, language)
    )


def _tier(record: UsageRecord, offer: Offer, language: Language) -> str:
    tariff = scalar.tariff_for(record, offer)
    counted = say(language, "counted", per=aloud.per(tariff, language))
    if tariff.blocks:
        return f"{aloud.tariff(tariff, language)}. {counted}"
    if len(tariff.tiers) == 1:
        return say(language, "one_tier")
    kind = aloud.tiers_of(tariff, language)
    if tariff.kind in COUNTED:
        return f"{kind} {counted}"
    tokens = sum(record.meters.get(name, 0) for name in PROMPT_METERS)
    place = tariff.tiers.index(offers.tier_for(tariff, tokens)) + 1
    return say(
        language,
        "in_tier",
        tokens=f"{tokens:,}",
        place=place,
        count=len(tariff.tiers),
        kind=kind,
    )


def _when(at_us: int, zone: str) -> str:
    moment = periods.from_us(at_us, zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}"
