"""Contracts: one version of what a customer pays, parsed from a file of ``contracts/``."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue import instants, rates
from steelyard.catalogue.documents import Boundary, Contract, PriceRule, Terms
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.places import Path
from steelyard.catalogue.shapes import shape, shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values import money

_PERCENT = re.compile(r"(.*\S)\s*%")
_PPM_PER_PERCENT = 10_000


class _Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pays: Literal["afterwards", "before", "never"] = "afterwards"
    due_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 30
    credit_limit: object = None


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    customer: Identifier
    title: Text | None = None
    currency: str
    zone: str | None = None
    valid_from: date
    terms: _Terms = _Terms()


class _Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: Pattern
    book: Identifier | None = None
    discount: object = None
    per_million: dict[str, object] = {}
    per_unit: dict[str, object] = {}
    tier: tuple[rates.RawTier, ...] = ()
    boundary: Boundary | None = None


def read(sheet: Sheet, studio_zone: str) -> Found[Contract] | None:
    """Parse a contract; None when it is faulty. Without a zone it has the studio's."""
    before = len(sheet.faults)
    raw = {name: value for name, value in sheet.table.items() if name != "price"}
    head = shape(sheet, (), raw, _Head, also=("price",))
    rows = shapes(sheet, "price", _Price)
    rules = [_rule(row) for row in rows]
    if "price" not in sheet.table and not sheet.faults[before:]:
        sheet.fault((), "this contract sells nothing; add [[price]] with a model and its price")
    if head is None:
        return None
    currency = instants.currency(sheet, ("currency",), head.currency)
    zone = instants.zone(sheet, ("zone",), head.zone or studio_zone)
    terms = _terms(sheet, head.terms)
    if currency is None or zone is None or terms is None or len(sheet.faults) > before:
        return None
    contract = Contract(
        id=head.id,
        customer=head.customer,
        title=head.title or head.id,
        currency=currency,
        zone=zone,
        valid_from_us=instants.day(head.valid_from, zone),
        valid_from=head.valid_from.isoformat(),
        terms=terms,
        prices=tuple(rule for rule in rules if rule is not None),
    )
    return Found(sheet, (), contract)


def _terms(sheet: Sheet, raw: _Terms) -> Terms | None:
    limit: int | None = None
    if raw.credit_limit is not None:
        path = ("terms", "credit_limit")
        if not isinstance(raw.credit_limit, str):
            sheet.fault(path, 'write an amount as decimal text in quotes, "50000.00"')
            return None
        try:
            limit = money.amount(raw.credit_limit)
        except money.MoneyError as exc:
            sheet.fault(path, str(exc))
            return None
        if limit < 0:
            sheet.fault(path, "a credit limit is not negative")
            return None
    return Terms(pays=raw.pays, due_days=raw.due_days, credit_limit_pico=limit)


def _rule(row: Found[_Price]) -> PriceRule | None:
    raw = row.value
    own = bool(raw.per_million or raw.per_unit or raw.tier)
    discount_ppm = _discount(row.sheet, (*row.path, "discount"), raw.discount)
    if raw.book is None and not own:
        row.fault((), 'no price: write book = "..." or per_million = { input = "2", output = "8" }')
        return None
    if raw.book is not None:
        if own or raw.boundary is not None:
            row.fault(("book",), "a price is either from a book or written here; keep one")
            return None
        if discount_ppm is None:
            return None
        return PriceRule(model=raw.model, book=raw.book, discount_ppm=discount_ppm)
    flat = (raw.per_million, raw.per_unit)
    tariff = rates.tariff(row.sheet, row.path, flat, raw.tier, raw.boundary)
    if tariff is None or discount_ppm is None:
        return None
    return PriceRule(model=raw.model, tariff=tariff, discount_ppm=discount_ppm)


def _discount(sheet: Sheet, path: Path, written: object) -> int | None:
    """A discount as parts per million. ``"12.5%"`` is 125,000; without one it is 0."""
    if written is None:
        return 0
    match = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        sheet.fault(path, 'write a discount in per cent and in quotes, "12%" or "12.5%"')
        return None
    try:
        ppm = money.scaled(match.group(1), _PPM_PER_PERCENT)
    except money.MoneyError:
        sheet.fault(
            path, f'"{written}" is no discount; write it with at most four decimals, "12.5%"'
        )
        return None
    if not 0 <= ppm <= money.PER_MILLION:
        sheet.fault(path, f'a discount is between 0% and 100%, not "{written}"')
        return None
    return ppm
