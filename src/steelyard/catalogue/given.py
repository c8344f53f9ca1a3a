"""Given: what pays before money does, read aloud."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from steelyard.catalogue import phrases, wording
from steelyard.catalogue.documents import Burn, Grant, Quota, Tier
from steelyard.catalogue.grants import CACHED
from steelyard.catalogue.phrases import Language, say
from steelyard.catalogue.rates import FALLBACKS
from steelyard.values import money

_PER_MILLION_FROM = 1000
"""From how many parts of a unit on weights are told for a million tokens."""


def grant(given: Grant, currency: str, language: Language) -> str:
    """What a grant gives, to whom, for how long, and how it is used up."""
    named = "all_of_them" if given.model == "*" else "some_models"
    model = given.model if isinstance(given.model, str) else ", ".join(given.model)
    models = wording.called(say(language, named, model=model), given.labels, language)
    whose = say(language, "all_models" if given.shared else "each_model")
    sentence = say(
        language,
        "grant",
        what=_what(given, currency, language),
        state=say(language, "grant_paid" if given.paid else "grant_free"),
        models=f"{models} ({whose})" if language == "en" else f"{models}（{whose}）",
        every=say(language, "grant_month") if given.every else "",
        first=given.backdated or given.since,
        last=say(language, "grant_until", day=given.until) if given.until else "",
        id=given.id,
    )
    sentences = [sentence, *_burns(given, currency, language), *_rules(given, language)]
    return (" " if language == "en" else "").join(sentences)


def number(parts: int, scale: int) -> str:
    """Parts as units, exactly: ``1,000``, ``0.01`` or ``1/3``."""
    pico, rest = divmod(parts * money.PICO, scale)
    return str(Fraction(parts, scale)) if rest else money.grouped(pico)


def size(given: Grant, parts: int, currency: str, language: Language) -> str:
    """Parts of a grant in words: ``90,000 calls``."""
    if given.gives == "money":
        amount = money.grouped(parts, money.CURRENCY_PLACES[currency])
        return say(language, "grant_money", size=amount, currency=currency)
    found = number(parts, given.scale)
    if given.gives in {"calls", "credits"}:
        return say(language, f"grant_{given.gives}", size=found)
    if len(given.meters) == 1:
        meter = phrases.meter(language, *given.meters)
        return say(language, "grant_units", size=found, meter=meter)
    return say(language, "grant_tokens", size=found)


def _what(given: Grant, currency: str, language: Language) -> str:
    if given.of:
        return say(language, "given_of", item=given.of)
    if not given.quotas:
        return size(given, given.size, currency, language)
    found = [
        _quota(each, size(given, each.size, currency, language), language) for each in given.quotas
    ]
    first = say(language, "comma").join(found[:-1])
    return say(language, "and").join(filter(None, (first, found[-1])))


def _quota(quota: Quota, much: str, language: Language) -> str:
    if quota.per == "minute":
        side = say(language, f"side_{quota.name}")
        return say(language, "per_minute", size=much, side=side)
    if quota.per in {"cycle", "week"}:
        return say(language, f"per_{quota.per}", size=much)
    return say(language, "per_hours", size=much, hours=quota.per.removesuffix("h"))


def _burns(given: Grant, currency: str, language: Language) -> Iterator[str]:
    if given.gives == "calls":
        yield say(language, "calls_whole")
    for burn in given.burns:
        if burn.tariff is None:
            price = money.exact(given.scale * money.PER_MILLION)
            yield say(language, "burn_price", price=price, currency=currency)
        else:
            yield _burn(given, burn, language)
    if given.step > 1:
        yield say(language, "given_rounded", step=number(given.step, given.scale))


def _burn(given: Grant, burn: Burn, language: Language) -> str:
    assert burn.tariff is not None
    tiers = burn.tariff.tiers
    weights = [each for tier in tiers for each in tier.rates.prices.values()]
    million = given.gives == "credits" and given.scale > _PER_MILLION_FROM * min(weights)
    named = "a_call" if given.gives == "calls" else "one_token"
    steps: list[str] = []
    for tier in tiers:
        told = _weights(given, tier, money.PER_MILLION if million else 1, language)
        if len(tiers) > 1:
            limit = "up_to" if burn.tariff.boundary == "closed" else "below"
            name = "above" if tier.up_to is None else limit
            length = say(language, name, tokens=f"{tier.up_to or 0:,}")
            told = say(language, "tier", length=length, prices=told)
        steps.append(told)
    any_model = "all_of_them" if burn.model == "*" else "some_models"
    sentence = say(
        language,
        "burns",
        model=say(language, any_model, model=burn.model),
        per=say(language, "a_million_tokens" if million else named),
        weights=say(language, "semicolon").join(steps),
    )
    sentence += "." if language == "en" else "。"
    if len(tiers) == 1:
        return sentence
    kind = say(language, f"burn_{burn.tariff.kind}")
    return f"{sentence} {kind}" if language == "en" else sentence + kind


def _weights(given: Grant, tier: Tier, per: int, language: Language) -> str:
    prices = tier.rates.prices
    if len(set(prices.values())) == 1:
        weight = number(next(iter(prices.values())) * per, given.scale)
        return say(language, "all_meters", weight=weight)
    like = {name for name, of in FALLBACKS if name in prices and prices[name] == prices.get(of)}
    return say(language, "comma").join(
        say(
            language,
            "one_meter",
            meter=phrases.meter(language, name),
            weight=number(parts * per, given.scale),
        )
        for name, parts in prices.items()
        if name not in like
    )


def _rules(given: Grant, language: Language) -> Iterator[str]:
    """What else is agreed of which calls it covers, and of the one that uses it up."""
    if given.last_call != "divided":
        yield say(language, f"last_{given.last_call}")
    if given.by == "end":
        yield say(language, "given_end", day=given.until)
    if given.backdated:
        yield say(language, "given_backdated", day=given.since)
    if given.tiers_excluded:
        tiers = say(language, "and").join(given.tiers_excluded)
        yield say(language, "not_tier", tiers=tiers)
    if given.cached_excluded:
        yield say(language, "cached_excluded")
    elif "input_tokens" in given.meters and CACHED[0] not in given.meters:
        yield say(language, "not_cached")
    if given.used_up == "stop":
        yield say(language, "given_stop")
