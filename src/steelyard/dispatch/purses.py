"""Purses: the shared limits that a call draws on, each with its unit, its size and its window.

A budget has a purse for each of its payers and each window, a ``[[limit]]`` one for each of its
subjects and bounds (``limiting``). A contract that is paid before, or that has a credit limit, has
one: what was paid in, and the limit; what it gives and no more is one, too (``quotas``). A call is
admitted when all purses that it draws on have room for the most that it can cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from steelyard.catalogue import budgets, limits
from steelyard.catalogue.budgets import Budget, Owner
from steelyard.catalogue.documents import Edition
from steelyard.catalogue.limits import Limit
from steelyard.dispatch.leasing import Held
from steelyard.rating import bounds
from steelyard.values import money, periods

LOT_PICO = money.PICO // money.PER_MILLION
"""Money is leased by the millionth of a unit: 53 bits, in which some stores count, are billions."""

NEVER_US = 2**63 - 1

Returns = Literal["never", "ended", "minute", "burst"]
"""When what a call has taken is there again: never, when it has ended, in a minute, little by
little.
"""


class Purse(msgspec.Struct, frozen=True, kw_only=True):
    """A shared limit. Unit: ``size`` and what is drawn in ``lot``-th parts of what is leased.

    ``until_us`` is when its window ends. ``budget`` None: it is a contract's cover, or one of the
    bounds of a ``limit``, on the ``which``-th of what a call needs. What does not stop is only
    counted.
    """

    name: str
    size: int
    currency: str = ""
    lot: int = LOT_PICO
    until_us: int = NEVER_US
    budget: str | None = None
    notices_ppm: tuple[int, ...] = ()
    stops: bool = True
    limit: Limit | None = None
    which: int = 0
    returns: Returns = "never"


class Term(NamedTuple):
    """From when on a contract has a purse of its own, or (None) has none. Unit: pico-units, µs."""

    from_us: int
    currency: str
    limit_pico: int | None


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """What calls draw on. ``paid_pico`` is what was paid in, by contract.

    ``raised_pico`` is what purses were raised to, by name; ``zones`` where customers' days begin.
    """

    budgets: tuple[Budget, ...] = ()
    limits: tuple[Limit, ...] = ()
    terms: Mapping[str, tuple[Term, ...]] = {}
    paid_pico: Mapping[str, int] = {}
    raised_pico: Mapping[str, int] = {}
    grants: tuple[str, ...] = ()
    """Those that stop and are purses: contract and id."""
    zone: str = "UTC"
    zones: Mapping[str, str] = {}

    @property
    def paid(self) -> bool:
        """Whether any call draws on money, or on what is given instead of it."""
        return bool(self.budgets or self.terms or self.grants)

    @property
    def bound(self) -> bool:
        """Whether any call draws on anything."""
        return self.paid or bool(self.limits)


NO_FUNDS = Funds()


class Payment(NamedTuple):
    """Whose call is paid, under which contract, for which model, in what, and when."""

    owner: Owner
    contract: str
    model: str
    currency: str
    at_us: int


def funds(
    edition: Edition, known: tuple[Budget, ...] = (), limited: tuple[Limit, ...] = ()
) -> Funds:
    """What there is to draw on, before anything is paid in or raised."""
    terms: dict[str, tuple[Term, ...]] = {}
    for each in sorted(edition.contracts, key=lambda contract: contract.valid_from_us):
        limit_pico = each.terms.credit_limit_pico
        if limit_pico is None and each.terms.pays == "before":
            limit_pico = 0
        term = Term(each.valid_from_us, each.currency, limit_pico)
        terms[each.id] = (*terms.get(each.id, ()), term)
    return Funds(
        budgets=known,
        limits=limited,
        terms={
            name: found
            for name, found in terms.items()
            if any(term.limit_pico is not None for term in found)
        },
        grants=tuple(
            f"{each.id}/{grant.id}"
            for each in edition.contracts
            for grant in each.grants
            if bounds.is_known(grant)
        ),
        zone=edition.zone,
        zones={each.customer: each.zone for each in reversed(edition.contracts)},
    )


def purses(known: Funds, payment: Payment) -> tuple[Purse, ...]:
    """The purses that a call draws on, in the order of their names, in which they are locked."""
    found = [*_of_contract(known, payment), *_of_budgets(known, payment)]
    return tuple(sorted(found, key=lambda purse: purse.name))


def _of_contract(known: Funds, payment: Payment) -> Iterator[Purse]:
    in_force = [t for t in known.terms.get(payment.contract, ()) if t.from_us <= payment.at_us]
    if not in_force or in_force[-1].limit_pico is None:
        return
    name = f"contract/{payment.contract}"
    paid_pico = known.paid_pico.get(payment.contract, 0)
    size_pico = known.raised_pico.get(name, in_force[-1].limit_pico) + paid_pico
    yield Purse(name=name, currency=in_force[-1].currency, size=size_pico)


def _of_budgets(known: Funds, payment: Payment) -> Iterator[Purse]:
    owner, model = payment.owner, payment.model
    for budget in known.budgets:
        if budget.currency != payment.currency or not budgets.counts(budget, owner, model):
            continue
        since, until_us = _window(known, budget, payment)
        name = f"budget/{budget.id}/{budgets.subject(budget, owner, model)}/{since}"
        yield Purse(
            name=name,
            currency=budget.currency,
            size=known.raised_pico.get(name, budget.amount_pico),
            until_us=until_us,
            budget=budget.id,
            notices_ppm=budget.notices_ppm,
            stops=budget.stops,
        )


def _window(known: Funds, budget: Budget, payment: Payment) -> tuple[str, int]:
    """The window that a call falls into: its beginning, as it is written, and its end."""
    if budget.per == "total":
        return "total", NEVER_US
    zone = budget.zone
    if zone is None:
        own = known.zone if budget.of == ("model",) else None
        zone = own or known.zones.get(payment.owner.customer, known.zone)
    at_us, first_month = payment.at_us, budget.first_month
    start_us, end_us = periods.span_bounds_us(budget.per, at_us, zone, first_month)
    return periods.from_us(start_us, zone).isoformat(timespec="minutes"), end_us


def with_money(held: Iterable[Held]) -> list[Held]:
    """Those that hold money, or what is given instead of it: which people see."""
    return [each for each in held if each.purse.startswith(("budget/", "contract/", "grant/"))]


def with_days(known: Funds) -> Funds:
    """The same with no other bounds than those on days: what is used of them does not come back."""
    days = tuple(filter(None, map(limits.daily, known.limits)))
    return msgspec.structs.replace(known, limits=days)


def lots(amount: int, lot: int = LOT_PICO) -> int:
    """As many lots as hold an amount."""
    return -(-amount // lot)


def stamp(known: Funds) -> str:
    """A name for what the purses are of: another one, and what is counted means something else.

    How large they are is no part of it.
    """
    said = [
        msgspec.structs.replace(each, amount_pico=0, notices_ppm=(), stops=True)
        for each in known.budgets
    ]
    days = map(limits.unsized, with_days(known).limits)
    names = (sorted(known.terms), sorted({*known.grants}))
    told = msgspec.json.encode((said, names, known.zone, sorted(known.zones.items()), *days))
    return hashlib.sha256(told).hexdigest()[:_STAMP_DIGITS]


_STAMP_DIGITS = 16
