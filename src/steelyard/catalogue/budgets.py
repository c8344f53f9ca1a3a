"""Budgets: what callers may spend in a window of time, parsed from ``steelyard.toml``."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from steelyard.catalogue import instants, percents
from steelyard.catalogue.names import Identifier, Pattern
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values import money
from steelyard.values.periods import Span

Payer = Literal["key", "workspace", "project", "customer", "model"]
Per = Span | Literal["total"]

_NOTICES_MAX = 10
_Patterns = tuple[Pattern, ...]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What each of its payers may spend: each key, each project, each customer's each model.

    ``keys`` to ``models`` are shell patterns of the calls that count, beside the currency of their
    contract. ``zone`` None: the customer's, or the studio's for a model of all customers.
    ``first_month`` is the fiscal year's. ``notices_ppm`` are the parts at which it is told how much
    is used; what does not stop only tells. Unit: ``amount_pico`` pico-units.
    """

    id: str
    of: tuple[Payer, ...]
    amount_pico: int
    currency: str
    per: Per
    keys: tuple[str, ...] = ("*",)
    workspaces: tuple[str, ...] = ("*",)
    projects: tuple[str, ...] = ("*",)
    customers: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)
    zone: str | None = None
    first_month: int = 1
    notices_ppm: tuple[int, ...] = ()
    stops: bool = True


class Owner(Protocol):
    """Whose call it is, as far as budgets ask: a key, or what is left of one."""

    @property
    def id(self) -> str:
        """The key's id."""
        ...

    @property
    def customer(self) -> str:
        """Who owns the key."""
        ...

    @property
    def workspace(self) -> str:
        """The part of the customer; empty: none."""
        ...

    @property
    def project(self) -> str:
        """What it is for; empty: nothing was said."""
        ...


class _Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    of: Payer | tuple[Payer, ...]
    amount: object
    currency: str
    per: Per
    keys: _Patterns = ("*",)
    workspaces: _Patterns = ("*",)
    projects: _Patterns = ("*",)
    customers: _Patterns = ("*",)
    models: _Patterns = ("*",)
    zone: str | None = None
    fiscal_year_begins: Annotated[int, Meta(ge=1, le=12)] = 1
    notices: tuple[str, ...] = ()
    stops: bool = True


def read(sheet: Sheet) -> list[Found[Budget]]:
    """Parse the ``[[budget]]`` tables."""
    rows = shapes(sheet, "budget", _Budget)
    found = ((row, _budget(row)) for row in rows)
    return [Found(row.sheet, row.path, each) for row, each in found if each is not None]


def counts(budget: Budget, owner: Owner, model: str) -> bool:
    """Whether a call is paid from a budget; one of workspaces is for calls that have one."""
    return (
        _any(budget.models, model)
        and _any(budget.customers, owner.customer)
        and _any(budget.keys, owner.id)
        and _any(budget.workspaces, owner.workspace)
        and _any(budget.projects, owner.project)
        and (bool(owner.workspace) or "workspace" not in budget.of)
        and (bool(owner.project) or "project" not in budget.of)
    )


def subject(budget: Budget, owner: Owner, model: str) -> str:
    """Whose own budget a call is paid from: ``customer=acme,model=qwen3-max``."""
    return ",".join(f"{each}={PAYERS[each](owner, model)}" for each in budget.of)


PAYERS: dict[Payer, Callable[[Owner, str], str]] = {
    "key": lambda owner, _: owner.id,
    "workspace": lambda owner, _: f"{owner.customer}/{owner.workspace}",
    "project": lambda owner, _: f"{owner.customer}/{owner.project}",
    "customer": lambda owner, _: owner.customer,
    "model": lambda _, model: model,
}
"""What is counted apart."""


def _budget(row: Found[_Budget]) -> Budget | None:
    raw, before = row.value, len(row.sheet.faults)
    of: tuple[Payer, ...] = raw.of if isinstance(raw.of, tuple) else (raw.of,)
    if not of or len(set(of)) < len(of):
        row.fault(("of",), 'say whose spending is counted apart, each once; write of = "customer"')
    amount_pico = _amount(row)
    instants.currency(row.sheet, (*row.path, "currency"), raw.currency)
    if raw.zone is not None:
        instants.zone(row.sheet, (*row.path, "zone"), raw.zone)
    if raw.fiscal_year_begins != 1 and raw.per != "quarter":
        reason = 'only quarters depend on it; write per = "quarter", or remove this'
        row.fault(("fiscal_year_begins",), reason)
    notices = tuple(_notice(row, place, each) for place, each in enumerate(raw.notices))
    if len(notices) > _NOTICES_MAX:
        row.fault(("notices",), f"at most {_NOTICES_MAX} of them")
    if amount_pico is None or len(row.sheet.faults) > before:
        return None
    return Budget(
        id=raw.id,
        of=of,
        amount_pico=amount_pico,
        currency=raw.currency,
        per=raw.per,
        keys=raw.keys,
        workspaces=raw.workspaces,
        projects=raw.projects,
        customers=raw.customers,
        models=raw.models,
        zone=raw.zone,
        first_month=raw.fiscal_year_begins,
        notices_ppm=tuple(sorted(each for each in notices if each is not None)),
        stops=raw.stops,
    )


def _amount(row: Found[_Budget]) -> int | None:
    written = row.value.amount
    if not isinstance(written, str):
        row.fault(("amount",), 'write an amount as decimal text in quotes, "500.00"')
        return None
    try:
        found = money.amount(written)
    except money.MoneyError as exc:
        row.fault(("amount",), str(exc))
        return None
    if not 0 < found <= AMOUNT_MAX_PICO:
        row.fault(("amount",), f"a budget is above 0 and at most {money.exact(AMOUNT_MAX_PICO)}")
        return None
    return found


def _notice(row: Found[_Budget], place: int, written: str) -> int | None:
    ppm = percents.discount(row.sheet, (*row.path, "notices", place), written)
    return ppm or None


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns)


AMOUNT_MAX_PICO = 10**9 * money.PICO
"""What is shared between workers is counted in millionths, and by some stores in 53 bits."""
