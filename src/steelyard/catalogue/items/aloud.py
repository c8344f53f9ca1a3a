"""Items read aloud: what a contract charges by period and by event, in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from steelyard.catalogue import phrases
from steelyard.catalogue.items.kinds import (
    Bundle,
    Commitment,
    Dedicated,
    Fee,
    Item,
    Licence,
    Project,
    Savings,
    ServiceLevel,
    Throughput,
    Training,
)
from steelyard.catalogue.items.throughput import INPUT_TPM, OUTPUT_TPM
from steelyard.catalogue.phrases import Language, say
from steelyard.catalogue.rates import FALLBACKS
from steelyard.values import meters, money

_PICO_PER_PERCENT_PPM = money.PICO // 10_000


def item(each: Item, currency: str, language: Language) -> str:
    """What an item is, what it costs, and when, in one paragraph."""
    sentences = _SAID[type(each)](each, currency, language)
    text = (" " if language == "en" else "").join(sentences)
    named = "untitled" if each.title == each.id else "item"
    return say(language, named, title=each.title, id=each.id, text=text)


def _fee(fee: Fee, currency: str, language: Language) -> Iterator[str]:
    amounts = [_amount(plan.amount_pico, currency) for plan in fee.plans]
    if len(fee.plans) > 1:
        amounts = [
            say(language, "fee_plan", plan=plan.id, amount=amount)
            for plan, amount in zip(fee.plans, amounts, strict=True)
        ]
    each = ""
    if fee.meter not in {"fees", "years"}:
        counted = say(language, f"counted_{fee.meter}")
        each = say(language, "fee_each", counted=counted, count=f"{fee.count:,}")
    term = say(language, f"months_{fee.months}")
    listed = _list(amounts, language)
    yield say(language, "fee", amounts=listed, currency=currency, term=term, each=each)
    if fee.since is not None:
        yield say(language, "fee_since", day=fee.since)
    else:
        yield say(language, "fee_begun")
    if fee.until is not None:
        yield say(language, "fee_until", day=fee.until)
    if fee.trial_days:
        yield say(language, "fee_trial", days=fee.trial_days)
    yield say(language, f"fee_{fee.anchor}")
    yield say(language, f"fee_{fee.due}")
    yield say(language, f"fee_{fee.prorate}")
    if fee.prorate != "none":
        yield say(language, "fee_refund" if fee.refund else "fee_kept")
    if fee.spread:
        yield say(language, "fee_spread")


def _commitment(promised: Commitment, currency: str, language: Language) -> Iterator[str]:
    amounts = [
        say(language, "phase", amount=_amount(each.amount_pico, currency), day=each.since)
        for each in promised.phases
    ]
    yield say(
        language,
        "commitment",
        amounts=_list(amounts, language),
        currency=currency,
        term=say(language, f"months_{promised.months}"),
        counts=_counts(promised.counts, language),
    )
    if promised.until is not None:
        yield say(language, "fee_until", day=promised.until)


def _savings(plan: Savings, currency: str, language: Language) -> Iterator[str]:
    when = say(language, "savings_bought")
    if plan.since is not None:
        when = say(language, "savings_since", day=plan.since)
    yield say(
        language,
        "savings",
        amount=_amount(plan.amount_pico, currency),
        currency=currency,
        when=when,
        months=plan.months,
        counts=_counts(plan.counts, language, calls=True),
        rest=say(language, f"rest_{plan.rest}"),
    )


def _throughput(sold: Throughput, currency: str, language: Language) -> Iterator[str]:
    yield say(
        language,
        "throughput",
        model=sold.model,
        per=say(language, f"per_{sold.per}"),
        input=_amount(sold.input_pico * INPUT_TPM, currency),
        output=_amount(sold.output_pico * OUTPUT_TPM, currency),
        currency=currency,
    )
    yield say(language, f"throughput_{sold.per}", late=sold.late_hour)
    if sold.per == "day":
        yield say(language, "throughput_end", stops=sold.stops_h, keeps=sold.keeps_h)


def _dedicated(sold: Dedicated, currency: str, language: Language) -> Iterator[str]:
    yield say(
        language,
        "dedicated",
        price=_amount(sold.price_pico, currency),
        currency=currency,
        unit=say(language, sold.unit),
        per=say(language, f"per_{sold.per}"),
    )
    yield say(language, f"dedicated_{sold.per}")
    if sold.early_ppm is not None:
        factor = money.exact(sold.early_ppm * (money.PICO // money.PER_MILLION))
        yield say(language, "dedicated_early", factor=factor)


def _project(project: Project, currency: str, language: Language) -> Iterator[str]:
    if project.milestones:
        milestones = [
            say(language, "milestone", title=each.title, amount=_amount(each.amount_pico, currency))
            for each in project.milestones
        ]
        listed = _list(milestones, language)
        yield say(language, "project", milestones=listed, currency=currency)
    if project.advance_ppm:
        yield say(language, "project_advance", percent=_percent(project.advance_ppm))
    if project.retention_ppm:
        named = "project_retention" if project.retention_days is None else "project_retention_days"
        percent, days = _percent(project.retention_ppm), project.retention_days
        yield say(language, named, percent=percent, days=days)
    for unit, price_pico in (
        ("person_day", project.person_day_pico),
        ("person_hour", project.person_hour_pico),
    ):
        if price_pico is not None:
            price = _amount(price_pico, currency)
            yield say(language, "project_work", unit=say(language, unit), price=price)
    if project.budget_pico:
        amount = _amount(project.budget_pico, currency)
        counts = _counts(project.counts, language, calls=True)
        yield say(language, "project_budget", amount=amount, counts=counts)


def _licence(licence: Licence, currency: str, language: Language) -> Iterator[str]:
    if licence.share_ppm is not None:
        yield say(language, "licence_share", percent=_percent(licence.share_ppm))
        if licence.least_pico:
            yield say(language, "licence_least", amount=_amount(licence.least_pico, currency))
    else:
        yield _prices(licence.prices, currency, language)


def _training(training: Training, currency: str, language: Language) -> Iterator[str]:
    yield _prices(training.prices, currency, language)
    if "training_tokens" in training.prices:
        yield say(language, "trained")
    if "byte_hours" in training.prices:
        yield say(language, "kept")


def _bundle(bundle: Bundle, currency: str, language: Language) -> Iterator[str]:
    whole = bundle.divide_ppm == money.PER_MILLION
    rest = say(language, "rest_operator")
    if bundle.rest is not None:
        rest = say(language, "rest_party", party=bundle.rest)
    parts = [
        say(
            language,
            f"part_{bundle.by}",
            earner=each.earner,
            percent=_percent(each.weight),
            amount=_amount(each.weight, currency),
            patterns=_list(each.models, language),
        )
        for each in bundle.parts
    ]
    percent = say(language, "percent", percent=_percent(bundle.divide_ppm))
    yield say(
        language,
        "bundle",
        percent=say(language, "whole_of") if whole else percent,
        of=_list(bundle.of, language),
        parts=_list(parts, language),
        by=say(language, f"by_{bundle.by}", meter=_by(bundle.meter, language)),
        rest=rest,
    )


def _service_level(level: ServiceLevel, currency: str, language: Language) -> Iterator[str]:
    del currency
    available = level.measure == "availability"
    steps = [
        say(
            language,
            "step_below" if available else "step_above",
            beyond=_percent(each.beyond) if available else each.beyond,
            credit=_percent(each.credit_ppm),
        )
        for each in level.steps
    ]
    yield say(
        language,
        "service_level",
        measure=say(language, level.measure, percentile=level.percentile),
        steps=_list(steps, language),
        counts=_counts(level.counts, language, calls=True),
    )


_SAID: Mapping[type, Callable[..., Iterator[str]]] = {
    Fee: _fee,
    Commitment: _commitment,
    Savings: _savings,
    Throughput: _throughput,
    Dedicated: _dedicated,
    Project: _project,
    Licence: _licence,
    Training: _training,
    Bundle: _bundle,
    ServiceLevel: _service_level,
}


def _prices(prices: Mapping[str, int], currency: str, language: Language) -> str:
    """Prices by meter, each for as many units as documents print; no price that is another's."""
    said: list[str] = []
    alike = {name for name, of in FALLBACKS if prices.get(name, -1) == prices.get(of)}
    for name, price_pico in prices.items():
        if name in alike:
            continue
        named = phrases.meter(language, name)
        units, per = meters.priced_per(name)
        price = money.exact(price_pico * units)
        if units > 1:
            said.append(say(language, "priced_per", meter=named, price=price, per=per))
        else:
            said.append(say(language, "per_unit", meter=named, price=price))
    return say(language, "reported", prices=f"{_list(said, language)} ({currency})")


def _counts(patterns: Sequence[str], language: Language, *, calls: bool = False) -> str:
    if "*" in patterns:
        return say(language, "all_calls" if calls else "everything")
    named = "only_calls" if calls else "only_counts"
    return say(language, named, patterns=_list(patterns, language))


def _by(meter: str, language: Language) -> str:
    return say(language, "tokens") if meter == "tokens" else phrases.meter(language, meter)


def _list(parts: Sequence[str], language: Language) -> str:
    return say(language, "comma").join(parts)


def _amount(amount_pico: int, currency: str) -> str:
    return money.grouped(amount_pico, money.CURRENCY_PLACES[currency])


def _percent(ppm: int) -> str:
    return money.exact(ppm * _PICO_PER_PERCENT_PPM)
