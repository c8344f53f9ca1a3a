"""Offers: what one contract charges, and what it costs us, for one model at an instant."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from steelyard.catalogue.documents import (
    Contract,
    CostRule,
    Edition,
    PriceBook,
    PriceRule,
    Rates,
    ShareRule,
    Tariff,
    Tier,
)
from steelyard.values import meters, money, periods


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The prices in force from ``from_us`` until the next offer of the same timeline.

    ``tariff`` is None while the contract does not sell the model. ``costs`` has at most one rule a
    component, in the order of ``COMPONENTS``. ``price_version`` and ``cost_version`` name the
    documents and days that the prices come from.
    """

    from_us: int
    contract: str
    customer: str
    currency: str
    zone: str
    tariff: Tariff | None
    price_version: str
    costs: tuple[CostRule, ...]
    cost_version: str


def timeline(edition: Edition, contract: str, model: str, deployment: str) -> tuple[Offer, ...]:
    """All offers for a model under a contract, oldest first; empty for an unknown contract.

    The offer for an instant is the last whose ``from_us`` is not after it.
    """
    versions = sorted(
        (each for each in edition.contracts if each.id == contract), key=lambda c: c.valid_from_us
    )
    if not versions:
        return ()
    books = {book.id: book for book in edition.books}
    instants = {each.valid_from_us for each in versions}
    instants |= {each.valid_from_us for each in edition.shares}
    for version in versions:
        rule = _price_rule(version, model)
        if rule is not None and rule.book is not None:
            instants |= {p.from_us for p in books[rule.book].prices if p.model == model}
    first = versions[0].valid_from_us
    return tuple(
        _offer(edition, versions, books, (model, deployment), instant)
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


def tier_for(tariff: Tariff, prompt_tokens: int) -> Tier:
    """The tier that prices a whole call, by the length of its prompt, cached tokens included."""
    for tier in tariff.tiers:
        if tier.up_to is None or prompt_tokens < tier.up_to:
            return tier
        if prompt_tokens == tier.up_to and tariff.boundary == "closed":
            return tier
    msg = "a tariff's last tier is open-ended"
    raise AssertionError(msg)


def _price_rule(contract: Contract, model: str) -> PriceRule | None:
    for rule in contract.prices:
        if fnmatchcase(model, rule.model):
            return rule
    return None


def _offer(
    edition: Edition,
    versions: list[Contract],
    books: dict[str, PriceBook],
    names: tuple[str, str],
    instant: int,
) -> Offer:
    contract = [each for each in versions if each.valid_from_us <= instant][-1]
    tariff, price_version = _tariff(contract, books, names[0], instant)
    costs, cost_version = _costs(edition, contract.currency, names, instant)
    return Offer(
        from_us=instant,
        contract=contract.id,
        customer=contract.customer,
        currency=contract.currency,
        zone=contract.zone,
        tariff=tariff,
        price_version=price_version,
        costs=costs,
        cost_version=cost_version,
    )


def _tariff(
    contract: Contract, books: dict[str, PriceBook], model: str, instant: int
) -> tuple[Tariff | None, str]:
    own = f"{contract.id}@{contract.valid_from}"
    rule = _price_rule(contract, model)
    if rule is None:
        return None, own
    if rule.book is None:
        assert rule.tariff is not None
        return _discounted(rule.tariff, rule.discount_ppm), own
    dated = [p for p in books[rule.book].prices if p.model == model and p.from_us <= instant]
    if not dated:
        return None, own
    listed = max(dated, key=lambda p: p.from_us)
    since = periods.from_us(listed.from_us).strftime("%Y-%m-%dT%H:%M:%SZ")
    version = f"{own} {rule.book}@{since}"
    return _discounted(listed.tariff, rule.discount_ppm), version


def _discounted(tariff: Tariff, discount_ppm: int) -> Tariff:
    if discount_ppm == 0:
        return tariff
    return Tariff(
        tiers=tuple(
            Tier(
                tier.up_to,
                Rates(
                    {
                        meter: money.discounted(price, discount_ppm)
                        for meter, price in tier.rates.prices.items()
                    }
                ),
            )
            for tier in tariff.tiers
        ),
        boundary=tariff.boundary,
    )


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
