"""A contract read aloud, in plain sentences, as a salesperson would say it."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.catalogue import given, phrases, wording
from steelyard.catalogue.documents import (
    COUNTED,
    Contract,
    Edition,
    Holidays,
    PriceRule,
    Rates,
    Tariff,
    Window,
    party,
)
from steelyard.catalogue.items import aloud as items
from steelyard.catalogue.phrases import Language, say
from steelyard.catalogue.rates import FALLBACKS
from steelyard.values import money
from steelyard.values.meters import METERS

_PER_PERCENT_PPM = 10_000
_MINUTES, _DAY_MINUTES = 60, 1440
_ALL_DAY = ((0, _DAY_MINUTES),)
_WORKING, _WEEK = (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5, 6)


def contract(edition: Edition, version: Contract, language: Language) -> tuple[str, ...]:
    """One version of a contract, sentence by sentence."""
    return tuple(_contract(edition, version, language))


def _contract(edition: Edition, version: Contract, language: Language) -> Iterator[str]:
    yield say(
        language,
        "title",
        title=version.title,
        id=version.id,
        customer=party(edition.customers, version.customer).name,
        currency=version.currency,
        day=version.valid_from,
    )
    yield say(language, "zone", zone=version.zone)
    yield say(language, version.terms.pays, days=version.terms.due_days)
    limit_pico = version.terms.credit_limit_pico
    if limit_pico is not None:
        amount = money.grouped(limit_pico, money.CURRENCY_PLACES[version.currency])
        yield say(language, "credit", amount=amount, currency=version.currency)
    if version.terms.corrections == "invoice":
        yield say(language, "corrections")
    yield say(language, "several" if version.prices else "no_calls")
    for place, rule in enumerate(version.prices, start=1):
        yield f"{place}. {_rule(edition, rule, language)}"
    yield from (given.grant(each, version.currency, language) for each in version.grants)
    if len(version.grants) > 1:
        yield say(language, "order_of_cover")
    if version.prices:
        yield say(language, "fallback")
    yield from (items.item(each, version.currency, language) for each in version.items)


def _rule(edition: Edition, rule: PriceRule, language: Language) -> str:
    sentences: list[str] = []
    head = priced_for(rule, language)
    if rule.book is not None:
        prices = say(language, "booked", book=rule.book)
    else:
        assert rule.tariff is not None
        prices = tariff(rule.tariff, language)
    if rule.discount_ppm:
        percent = percents(rule.discount_ppm)
        prices = say(language, "discount", prices=prices, percent=percent)
    sentences.append(say(language, "price", head=head, prices=prices))
    if rule.tariff is not None and len(rule.tariff.tiers) > 1:
        sentences.append(tiers_of(rule.tariff, language))
    if rule.minimum_pico:
        sentences.append(say(language, "minimum", amount=money.exact(rule.minimum_pico)))
    if rule.book is not None and rule.windows == ():
        sentences.append(say(language, "no_windows"))
    sentences += [window(edition.holidays, each, language) for each in rule.windows or ()]
    if len(rule.windows or ()) > 1:
        sentences.append(say(language, "first_window"))
    return (" " if language == "en" else "").join(sentences)


def priced_for(rule: PriceRule, language: Language) -> str:
    """Which calls a price is for."""
    named = "any_model" if rule.model == "*" else "models"
    return wording.called(say(language, named, model=rule.model), rule.labels, language)


def tiers_of(priced: Tariff, language: Language) -> str:
    """How a tier is chosen."""
    return say(language, priced.kind, whose=_whose(priced, language), per=per(priced, language))


def per(priced: Tariff, language: Language) -> str:
    """The period in which units are counted."""
    return say(language, priced.per)


def _whose(priced: Tariff, language: Language) -> str:
    return say(language, "all_models" if priced.shared else "each_model")


def whole_tariff(priced: Tariff, language: Language) -> str:
    """A tariff's prices, how a tier is chosen unless it is by the prompt, and the least price."""
    more: list[str] = []
    if len(priced.tiers) > 1 and priced.kind != "whole":
        more.append(tiers_of(priced, language))
    if priced.minimum_pico:
        more.append(say(language, "minimum", amount=money.exact(priced.minimum_pico)))
    prices = tariff(priced, language)
    return " ".join([f"{prices}.", *more]) if more else prices


def tariff(priced: Tariff, language: Language) -> str:
    """A tariff's prices, tier by tier."""
    if priced.blocks:
        return say(language, "comma").join(_by_block(priced, language))
    if len(priced.tiers) == 1:
        return rates(priced.tiers[0].rates, language)
    limit = "up_to" if priced.boundary == "closed" else "below"
    if priced.kind in COUNTED:
        limit = "up_to_units" if priced.boundary == "closed" else "below_units"
    tiers: list[str] = []
    for tier in priced.tiers:
        name = "above" if tier.up_to is None else limit
        length = say(language, name, tokens=f"{tier.up_to or 0:,}")
        tiers.append(say(language, "tier", length=length, prices=rates(tier.rates, language)))
    return say(language, "semicolon").join(tiers)


def _by_block(priced: Tariff, language: Language) -> Iterator[str]:
    prices = priced.tiers[0].rates.prices
    rest = {name: price for name, price in prices.items() if name not in priced.blocks}
    if rest:
        yield rates(Rates(rest), language)
    for name, size in priced.blocks.items():
        yield say(
            language,
            "per_block",
            meter=phrases.meter(language, name),
            price=money.exact(prices[name]),
            size=f"{size:,}",
            per=per(priced, language),
            whose=_whose(priced, language),
        )


def rates(priced: Rates, language: Language) -> str:
    """Prices by meter; those that fall back on another meter's are left out."""
    fallen = _fallen(priced)
    named = [name for name in METERS if name in priced.prices and name not in fallen]
    by_token = [name for name in named if METERS[name].unit.startswith("token")]
    comma = say(language, "comma")
    tokens = [
        f"{phrases.meter(language, name)} {money.exact(priced.prices[name] * money.PER_MILLION)}"
        for name in by_token
    ]
    words = [say(language, "per_million", prices=comma.join(tokens))] if tokens else []
    words += [
        say(
            language,
            "per_unit",
            meter=phrases.meter(language, name),
            price=money.exact(priced.prices[name]),
        )
        for name in named
        if name not in by_token
    ]
    return comma.join(words)


def _fallen(priced: Rates) -> set[str]:
    prices = priced.prices
    return {name for name, like in FALLBACKS if name in prices and prices[name] == prices.get(like)}


def hours(holidays: tuple[Holidays, ...], held: Window, language: Language) -> str:
    """When a window holds, without what it does: ``09:00 to 12:00, Monday to Friday``."""
    when = (_hours(held, language), _days(holidays, held, language), held.zone)
    return say(language, "comma").join(when)


def window(holidays: tuple[Holidays, ...], held: Window, language: Language) -> str:
    """When prices are multiplied, and by what."""
    return say(
        language,
        "window",
        hours=_hours(held, language),
        days=_days(holidays, held, language),
        zone=held.zone,
        factor=factor(held.factor_ppm),
        by=say(language, held.by),
    )


def _hours(held: Window, language: Language) -> str:
    if held.hours == _ALL_DAY:
        return say(language, "all_day")
    spans = [
        say(
            language,
            "hours" if first < last else "next_day",
            first=_clock(first),
            last=_clock(last),
        )
        for first, last in held.hours
    ]
    return say(language, "and").join(spans)


def _days(holidays: tuple[Holidays, ...], held: Window, language: Language) -> str:
    if held.days == _WEEK:
        days = say(language, "every_day")
    elif held.days == _WORKING:
        days = say(language, "weekdays")
    else:
        days = say(language, "comma").join(phrases.day(language, each) for each in held.days)
    if held.holidays is None:
        return days
    known = {each.id: each for each in holidays}
    country = held.holidays
    if country in known:
        named = known[country]
        country = named.name_zh if language == "zh" and named.name_zh else named.name
    days = say(language, "without_holidays", days=days, country=country)
    return say(language, "with_made_up", days=days) if held.made_up else days


def _clock(minute: int) -> str:
    return f"{minute // _MINUTES:02d}:{minute % _MINUTES:02d}"


def percents(ppm: int) -> str:
    """Parts per million as per cent: ``12.5``."""
    return money.exact(ppm * (money.PICO // _PER_PERCENT_PPM))


def factor(ppm: int) -> str:
    """Parts per million as a factor: ``0.5``."""
    return money.exact(ppm * (money.PICO // money.PER_MILLION))
