"""Checks: what must hold between documents, each fault at the line that names the missing thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal, Protocol, TypeVar, cast

import msgspec

from steelyard.catalogue.budgets import Budget
from steelyard.catalogue.documents import (
    Contract,
    Deployment,
    Grant,
    Holidays,
    Labels,
    Model,
    Party,
    PriceBook,
    PriceRule,
    ShareRule,
    Tariff,
    Window,
)
from steelyard.catalogue.items import references
from steelyard.catalogue.limits import Limit
from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Found, Sheet, T, suggestion
from steelyard.values import money

Kind = Literal["customer", "earner", "deployment", "book", "contract"]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """All documents that could be parsed, with where they were read.

    The ``*_packaged`` ones come with Steelyard; of the same id, the studio's own goes before them.
    ``declared`` has, by kind of document, every id that is written somewhere, also in a document
    that is faulty otherwise: what only refers to it is not at fault.
    """

    main: Sheet
    operator: str | None
    customers: Sequence[Found[Party]]
    earners: Sequence[Found[Party]]
    models: Sequence[Found[Model]]
    models_packaged: Sequence[Found[Model]]
    deployments: Sequence[Found[Deployment]]
    books: Sequence[Found[PriceBook]]
    books_packaged: Sequence[Found[PriceBook]]
    contracts: Sequence[Found[Contract]]
    shares: Sequence[Found[ShareRule]]
    holidays: Sequence[Found[Holidays]] = ()
    holidays_packaged: Sequence[Found[Holidays]] = ()
    limits: Sequence[Found[Limit]] = ()
    budgets: Sequence[Found[Budget]] = ()
    declared: dict[Kind, frozenset[str]]


class _Document(Protocol):
    @property
    def id(self) -> str: ...


class _Version(_Document, Protocol):
    @property
    def currency(self) -> str: ...
    @property
    def valid_from(self) -> str: ...


GIVEN = ("grant", "subscription", "capacity")
"""The tables of a contract that cover calls."""

D = TypeVar("D", bound=_Document)
V = TypeVar("V", bound=_Version)


def check(draft: Draft) -> None:
    """Note on their sheets every fault and warning between the documents."""
    unique(draft.customers)
    unique(draft.earners)
    unique(draft.models)
    unique(draft.deployments)
    unique(draft.books)
    unique(draft.holidays)
    unique(draft.limits)
    unique(draft.budgets)
    _versions(draft.contracts, ("customer", "currency", "zone"))
    _versions(draft.shares, ("currency",))
    models = {model.id for model in effective(draft.models, draft.models_packaged)}
    books = {book.id: book for book in effective(draft.books, draft.books_packaged)}
    if draft.operator is not None:
        _known(draft, "earner", draft.operator, _at(draft.main, ("studio", "operator")))
    for deployment in draft.deployments:
        _model_known(models, deployment.value.model, _within(deployment, ("model",)))
    holidays = {each.id for each in effective(draft.holidays, draft.holidays_packaged)}
    for book in draft.books:
        for index, row in enumerate(book.sheet.rows("price")):
            _model_known(models, str(row["model"]), _within(book, ("price", index, "model")))
        for found in (each for price in book.value.prices for each in price.windows):
            _window(found, holidays, _within(book, ()))
        for price in book.value.prices:
            _affordable(price.windows, [price.tariff], _within(book, ()))
    _steady_grants(draft.contracts)
    references.check(draft.contracts, models, draft.declared["earner"])
    for contract in draft.contracts:
        _contract(draft, contract, models, books)
        _calendars(contract, books, holidays)
        _reached(contract)
    for share in draft.shares:
        _share(draft, share, models)
    for limit in draft.limits:
        _patterns(draft, limit, limit.value, models)
    for budget in draft.budgets:
        _patterns(draft, budget, budget.value, models)


def effective(own: Sequence[Found[D]], packaged: Sequence[Found[D]]) -> list[D]:
    """The studio's documents, and the packaged ones whose id it does not define itself."""
    mine = {each.value.id for each in own}
    rest = [each.value for each in packaged if each.value.id not in mine]
    return sorted([*(each.value for each in own), *rest], key=lambda document: document.id)


def unique(documents: Sequence[Found[D]]) -> None:
    """Note each document whose id another has already."""
    seen: dict[str, Found[D]] = {}
    for each in documents:
        first = seen.setdefault(each.value.id, each)
        if first is not each:
            each.fault(("id",), f'id "{each.value.id}" is taken, by {_whereabouts(first)}')


def _whereabouts(found: Found[D]) -> str:
    return f"{found.sheet.file}:{found.sheet.place(found.path).line}"


def _versions(documents: Sequence[Found[V]], steady: tuple[str, ...]) -> None:
    """Versions of one id begin on different days, and some of their fields never change."""
    seen: dict[tuple[str, str], Found[V]] = {}
    first_of: dict[str, Found[V]] = {}
    for each in documents:
        value = each.value
        same = seen.setdefault((value.id, value.valid_from), each)
        first = first_of.setdefault(value.id, each)
        if same is not each:
            reason = f'"{value.id}" has a version from {value.valid_from} in {same.sheet.file}'
            each.fault(("valid_from",), f"{reason}; give this one its own day")
        for name in steady:
            old, new = getattr(first.value, name), getattr(value, name)
            if old != new:
                reason = f'{name} is "{old}" in {first.sheet.file}, and can\'t change to "{new}"'
                each.fault((name,), f"{reason} between versions; write it under a new id")


_Report = Callable[[str], None]


def _at(sheet: Sheet, path: Path) -> _Report:
    return lambda reason: sheet.fault(path, reason)


def _within(found: Found[T], inner: Path) -> _Report:
    return lambda reason: found.fault(inner, reason)


def _known(draft: Draft, kind: Kind, name: str, report: _Report) -> bool:
    if name in draft.declared[kind]:
        return True
    report(f'unknown {kind} "{name}"{suggestion(name, draft.declared[kind])}')
    return False


def _model_known(models: Iterable[str], name: str, report: _Report) -> None:
    if name not in models:
        report(f'unknown model "{name}"{_model_hint(name, models)}')


def _model_hint(name: str, models: Iterable[str]) -> str:
    hint = suggestion(name, models)
    if hint.startswith("; did you mean"):
        return hint
    return "; `steelyard models` shows them, [[model]] in steelyard.toml adds one"


def _contract(
    draft: Draft, contract: Found[Contract], models: set[str], books: dict[str, PriceBook]
) -> None:
    value = contract.value
    _known(draft, "customer", value.customer, _within(contract, ("customer",)))
    for name in GIVEN:
        for index, row in enumerate(contract.sheet.rows(name)):
            written = row.get("model", "*")
            if not isinstance(written, list):
                _matches(str(written), "model", models, _within(contract, (name, index, "model")))
                continue
            for place, each in enumerate(cast("list[object]", written)):
                at = (name, index, "model", place)
                _matches(str(each), "model", models, _within(contract, at))
    for index, rule in enumerate(value.prices):
        at = ("price", index, "model")
        if rule.book is None:
            _matches(rule.model, "model", models, _within(contract, at))
            continue
        where = _within(contract, ("price", index, "book"))
        if not _known(draft, "book", rule.book, where) or rule.book not in books:
            continue
        book = books[rule.book]
        if book.currency != value.currency:
            reason = f"{book.id} has prices in {book.currency}, this contract is in"
            where(f"{reason} {value.currency}; nothing is converted: choose another book")
            continue
        listed = {price.model for price in book.prices}
        _matches(rule.model, f"model of {book.id}", listed, _within(contract, at))
    if not any(share.value.currency == value.currency for share in draft.shares):
        reason = f"no file in shares/ is in {value.currency}: all that is sold is margin"
        contract.sheet.warn((*contract.path, "currency"), reason)


def _calendars(contract: Found[Contract], books: dict[str, PriceBook], holidays: set[str]) -> None:
    for index, rule in enumerate(contract.value.prices):
        report = _within(contract, ("price", index, "calendar"))
        for window in rule.windows or ():
            _window(window, holidays, report)
        listed = books[rule.book].prices if rule.book in books else ()
        tariffs = [price.tariff for price in listed if fnmatchcase(price.model, rule.model)]
        _affordable(rule.windows or (), [*tariffs, *filter(None, [rule.tariff])], report)


def _window(window: Window, holidays: set[str], report: _Report) -> None:
    if window.holidays is not None and window.holidays not in holidays:
        report(f'unknown holidays "{window.holidays}"{suggestion(window.holidays, holidays)}')


def _affordable(windows: Sequence[Window], tariffs: Sequence[Tariff], report: _Report) -> None:
    """See that prices times their factors are still prices."""
    prices = [p for tariff in tariffs for tier in tariff.tiers for p in tier.rates.prices.values()]
    factor_ppm = max((each.factor_ppm for each in windows), default=0)
    if money.multiplied(max(prices, default=0), factor_ppm) > money.PRICE_LIMIT_PICO:
        report("a price times the factor is higher than any price of one unit")


def _reached(contract: Found[Contract]) -> None:
    """Warn of prices that are for no call, since an earlier one is for all of theirs."""
    rules = contract.value.prices
    for index, rule in enumerate(rules):
        for place, earlier in enumerate(rules[:index], start=1):
            if _covers(earlier, rule):
                path = (*contract.path, "price", index, "model")
                reason = f"no call gets here: price {place} is for all of these; put this one first"
                contract.sheet.warn(path, reason)
                break


def _steady_grants(contracts: Sequence[Found[Contract]]) -> None:
    """A grant is the same in all versions of a contract, since what it has covered is counted."""
    seen: dict[tuple[str, str], tuple[Found[Contract], Grant]] = {}
    for contract in contracts:
        rows = [
            (name, index, row.get("id"))
            for name in GIVEN
            for index, row in enumerate(contract.sheet.rows(name))
        ]
        for name, index, written in rows:
            found = [each for each in contract.value.grants if each.id == written]
            for grant in found:
                first, same = seen.setdefault((contract.value.id, grant.id), (contract, grant))
                if same != grant:
                    reason = f'{name} "{grant.id}" is another one in {first.sheet.file}'
                    contract.fault((name, index, "id"), f"{reason}; give this one an id of its own")


def _covers(earlier: PriceRule, later: PriceRule) -> bool:
    def labels(of: Labels) -> tuple[str | None, ...]:
        return (of.service_tier, of.region, of.mode)

    pairs = zip(labels(earlier.labels), labels(later.labels), strict=True)
    return earlier.model in {"*", later.model} and all(a in {None, b} for a, b in pairs)


def _share(draft: Draft, share: Found[ShareRule], models: set[str]) -> None:
    sold = models | references.names(draft.contracts)
    for index, cost in enumerate(share.value.costs):
        at = ("cost", index)
        _known(draft, "earner", cost.earner, _within(share, (*at, "earner")))
        _matches(cost.models, "model", sold, _within(share, (*at, "models")))
        deployments = draft.declared["deployment"]
        where = _within(share, (*at, "deployments"))
        _matches(cost.deployments, "deployment", deployments, where)


def _patterns(draft: Draft, found: Found[T], named: Limit | Budget, models: set[str]) -> None:
    for index, pattern in enumerate(named.customers):
        where = _within(found, ("customers", index))
        _matches(pattern, "customer", draft.declared["customer"], where)
    for index, pattern in enumerate(named.models):
        _matches(pattern, "model", models, _within(found, ("models", index)))


def match_models(pattern: str, models: Iterable[str], found: Found[T], inner: Path) -> None:
    """Note a pattern of models that matches none."""
    _matches(pattern, "model", models, _within(found, inner))


def _matches(pattern: str, what: str, names: Iterable[str], report: _Report) -> None:
    if pattern == "*" or any(fnmatchcase(name, pattern) for name in names):
        return
    bare = pattern.strip("*")
    hint = suggestion(bare, names) if what != "model" else _model_hint(bare, names)
    report(f'"{pattern}" matches no {what}{hint}')
