"""Offers: what one contract charges, and what it costs us, for one model at an instant."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from steelyard.catalogue.documents import (
    Contract,
    CostRule,
    Edition,
    Grant,
    Labels,
    ListPrice,
    PriceBook,
    PriceRule,
    Rates,
    ShareRule,
    Tariff,
    Tier,
    Window,
)
from steelyard.values import meters, money, periods
from steelyard.values.usage import STANDARD


class Called(NamedTuple):
    """What a call says of itself that prices can depend on, beside its model."""

    service_tier: str = STANDARD
    region: str = ""
    mode: str = ""


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The prices while a window holds; ``off`` and ``worked`` are its holidays' days."""

    window: Window
    off: frozenset[str]
    worked: frozenset[str]
    tariff: Tariff


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The prices in force from ``from_us`` until the next offer of the same timeline.

    ``tariff`` is None while the contract does not sell the model; the first of ``peaks`` whose
    window holds at a call goes before it. ``grants`` are those of ``all_grants`` of the contract
    that cover such a call, in the order of cover. ``costs`` has at most one rule a component, in
    the order of ``COMPONENTS``. ``price_version`` and ``cost_version`` name the documents and days
    that the prices come from.
    """

    from_us: int
    contract: str
    customer: str
    currency: str
    zone: str
    tariff: Tariff | None
    peaks: tuple[Peak, ...]
    price_version: str
    costs: tuple[CostRule, ...]
    cost_version: str
    grants: tuple[Grant, ...] = ()
    all_grants: tuple[Grant, ...] = ()


def timeline(
    edition: Edition, contract: str, model: str, deployment: str, called: Called | None = None
) -> tuple[Offer, ...]:
    """All offers for a model under a contract, oldest first; empty for an unknown contract.

    The offer for an instant is the last whose ``from_us`` is not after it.
    """
    called = called or Called()
    versions = sorted(
        (each for each in edition.contracts if each.id == contract), key=lambda c: c.valid_from_us
    )
    if not versions:
        return ()
    books = {book.id: book for book in edition.books}
    instants = {each.valid_from_us for each in versions}
    instants |= {each.valid_from_us for each in edition.shares}
    for version in versions:
        rule = price_rule(version, model, called)
        if rule is not None and rule.book is not None:
            instants |= {p.from_us for p in books[rule.book].prices if p.model == model}
        for grant in version.grants:
            instants |= {grant.from_us, grant.from_us if grant.until_us is None else grant.until_us}
    first = versions[0].valid_from_us
    return tuple(
        _offer(edition, versions, books, (model, deployment, called), instant)
        for instant in sorted(instants)
        if instant >= first
    )


def at(offers: tuple[Offer, ...], at_us: int) -> Offer | None:
    """The offer in force at an instant; None before the first."""
    found = None
    for offer in offers:
        if offer.from_us > at_us:
            break
        found = offer
    return found


def since(offers: tuple[Offer, ...], at_us: int) -> tuple[Offer, ...]:
    """The offers that are in force at an instant, or will be."""
    begun = sum(offer.from_us <= at_us for offer in offers)
    return offers[max(0, begun - 1) :]


def tier_for(tariff: Tariff, prompt_tokens: int) -> Tier:
    """The tier that prices a whole call, by the length of its prompt, cached tokens included."""
    for tier in tariff.tiers:
        if tier.up_to is None or prompt_tokens < tier.up_to:
            return tier
        if prompt_tokens == tier.up_to and tariff.boundary == "closed":
            return tier
    msg = "a tariff's last tier is open-ended"
    raise AssertionError(msg)


def price_rule(contract: Contract, model: str, called: Called) -> PriceRule | None:
    """The first rule of a contract that is for a call of this model."""
    for rule in contract.prices:
        if fnmatchcase(model, rule.model) and matches(rule.labels, called):
            return rule
    return None


def list_price(book: PriceBook, model: str, called: Called, instant: int) -> ListPrice | None:
    """The price of a book in force for a call at an instant.

    A price for the call's service tier goes before others, then one for its region, then one for
    its mode; of equal ones the newest.
    """
    dated = [
        each
        for each in book.prices
        if each.model == model and each.from_us <= instant and matches(each.labels, called)
    ]
    return max(dated, key=lambda each: (*_named(each.labels), each.from_us), default=None)


def sells(edition: Edition, contract: str, model: str) -> bool:
    """Whether some version of a contract has a price for some calls of a model."""
    listed = {(book.id, price.model) for book in edition.books for price in book.prices}
    return any(
        fnmatchcase(model, rule.model) and (rule.book is None or (rule.book, model) in listed)
        for each in edition.contracts
        if each.id == contract
        for rule in each.prices
    )


def depends_on(edition: Edition, contract: str, model: str) -> tuple[bool, bool]:
    """Whether a contract prices a model by service tier, and whether by mode."""
    found: list[Labels] = []
    books = {book.id: book for book in edition.books}
    for each in edition.contracts:
        if each.id == contract:
            rules = [rule for rule in each.prices if fnmatchcase(model, rule.model)]
            found += [rule.labels for rule in rules]
            found += [grant.labels for grant in each.grants]
            listed = (books[rule.book].prices for rule in rules if rule.book is not None)
            found += [price.labels for prices in listed for price in prices if price.model == model]
    by_tier = any(each.service_tier is not None for each in found)
    return by_tier, any(each.mode is not None for each in found)


def matches(labels: Labels, called: Called) -> bool:
    """Whether a price is for a call."""
    return (
        labels.service_tier in {None, called.service_tier}
        and (labels.region is None or fnmatchcase(called.region, labels.region))
        and (labels.mode is None or fnmatchcase(called.mode, labels.mode))
    )


def _named(labels: Labels) -> tuple[bool, bool, bool]:
    return (
        labels.service_tier is not None,
        labels.region is not None,
        labels.mode is not None,
    )


def _offer(
    edition: Edition,
    versions: list[Contract],
    books: dict[str, PriceBook],
    names: tuple[str, str, Called],
    instant: int,
) -> Offer:
    contract = [each for each in versions if each.valid_from_us <= instant][-1]
    model, deployment, called = names
    price_version = f"{contract.id}@{contract.valid_from}"
    tariff: Tariff | None = None
    windows: tuple[Window, ...] = ()
    rule = price_rule(contract, model, called)
    if rule is not None:
        tariff, windows = rule.tariff, rule.windows or ()
        if rule.book is not None:
            listed = list_price(books[rule.book], model, called, instant)
            if listed is not None:
                tariff = listed.tariff
                windows = listed.windows if rule.windows is None else rule.windows
                since = periods.from_us(listed.from_us).strftime("%Y-%m-%dT%H:%M:%SZ")
                price_version = f"{price_version} {rule.book}@{since}"
        if tariff is not None and rule.minimum_pico:
            tariff = msgspec.structs.replace(tariff, minimum_pico=rule.minimum_pico)
    costs, cost_version = _costs(edition, contract.currency, (model, deployment), instant)
    rest_ppm = money.PER_MILLION - (rule.discount_ppm if rule is not None else 0)
    return Offer(
        from_us=instant,
        contract=contract.id,
        customer=contract.customer,
        currency=contract.currency,
        zone=contract.zone,
        tariff=None if tariff is None else _multiplied(tariff, rest_ppm),
        peaks=()
        if tariff is None
        else tuple(_peak(edition, each, tariff, rest_ppm) for each in windows),
        price_version=price_version,
        costs=costs,
        cost_version=cost_version,
        grants=tuple(g for g in contract.grants if _covers(g, model, called, instant)),
        all_grants=contract.grants,
    )


def patterns(grant: Grant) -> tuple[str, ...]:
    """Which models a grant is for."""
    return (grant.model,) if isinstance(grant.model, str) else grant.model


def _covers(grant: Grant, model: str, called: Called, instant: int) -> bool:
    return (
        not grant.of
        and any(fnmatchcase(model, each) for each in patterns(grant))
        and matches(grant.labels, called)
        and called.service_tier not in grant.tiers_excluded
        and grant.from_us <= instant
        and (grant.until_us is None or instant < grant.until_us)
    )


def _peak(edition: Edition, window: Window, tariff: Tariff, rest_ppm: int) -> Peak:
    known = [each for each in edition.holidays if each.id == window.holidays]
    return Peak(
        window=window,
        off=frozenset(day for each in known for day in each.off),
        worked=frozenset(day for each in known for day in each.worked if window.made_up),
        tariff=_multiplied(tariff, rest_ppm, window.factor_ppm),
    )


def _multiplied(tariff: Tariff, *factors_ppm: int) -> Tariff:
    """A tariff with each price times factors, rounded once for all of them."""
    if all(factor_ppm == money.PER_MILLION for factor_ppm in factors_ppm):
        return tariff
    tiers = tuple(
        Tier(
            tier.up_to,
            Rates(
                {
                    meter: money.multiplied(price_pico, *factors_ppm)
                    for meter, price_pico in tier.rates.prices.items()
                }
            ),
        )
        for tier in tariff.tiers
    )
    return msgspec.structs.replace(tariff, tiers=tiers)


def _costs(
    edition: Edition, currency: str, names: tuple[str, str], instant: int
) -> tuple[tuple[CostRule, ...], str]:
    model, deployment = names
    in_force: dict[str, ShareRule] = {}
    for share in sorted(edition.shares, key=lambda s: s.valid_from_us):
        if share.currency == currency and share.valid_from_us <= instant:
            in_force[share.id] = share
    found: dict[str, CostRule] = {}
    for share in in_force.values():
        for rule in share.costs:
            if fnmatchcase(model, rule.models) and fnmatchcase(deployment, rule.deployments):
                found.setdefault(rule.component, rule)
    version = " ".join(f"{share.id}@{share.valid_from}" for share in in_force.values())
    return tuple(found[name] for name in meters.COMPONENTS if name in found), version
