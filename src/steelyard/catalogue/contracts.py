"""Contracts: one version of what a customer pays, parsed from a file of ``contracts/``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue import (
    capacity,
    grants,
    instants,
    percents,
    rates,
    subscriptions,
    windows,
)
from steelyard.catalogue.documents import (
    COUNTED,
    MINIMUM_LIMIT_PICO,
    Contract,
    Grant,
    PriceRule,
    Tariff,
    Terms,
)
from steelyard.catalogue.items import tables
from steelyard.catalogue.items.kinds import Fee, Item, Throughput
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.shapes import shape, shapes
from steelyard.catalogue.sheets import Found, Sheet, suggestion
from steelyard.values import money, periods

_GIVEN = ("grant", "subscription", "capacity")
_LISTS = ("price", *_GIVEN, *tables.READERS)


class _Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pays: Literal["afterwards", "before", "never"] = "afterwards"
    due_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 30
    credit_limit: object = None
    corrections: Literal["note", "invoice"] = "note"


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    customer: Identifier
    title: Text | None = None
    currency: str
    zone: str | None = None
    valid_from: date
    terms: _Terms = _Terms()


class _Price(rates.RawPrice, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: Pattern
    book: Identifier | None = None
    discount: object = None
    shared: bool = False
    per: periods.Per | None = None
    minimum: object = None


def read(sheet: Sheet, studio_zone: str) -> Found[Contract] | None:
    """Parse a contract; None when it is faulty. Without a zone it has the studio's."""
    before = len(sheet.faults)
    raw = {name: value for name, value in sheet.table.items() if name not in _LISTS}
    head = shape(sheet, (), raw, _Head, also=_LISTS)
    rows = shapes(sheet, "price", _Price)
    if not {"price", *tables.READERS} & sheet.table.keys() and not sheet.faults[before:]:
        sheet.fault((), "this contract sells nothing; add [[price]] with a model and its price")
    if head is None:
        for row in rows:
            _rule(row, "UTC")
        return None
    currency = instants.currency(sheet, ("currency",), head.currency)
    zone = instants.zone(sheet, ("zone",), head.zone or studio_zone)
    terms = _terms(sheet, head.terms)
    rules = [_rule(row, zone or "UTC") for row in rows]
    given = _given(sheet, zone or "UTC")
    items = tables.read(sheet, currency or "CNY")
    _bought(sheet, given, items)
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
        grants=given,
        items=items,
    )
    return Found(sheet, (), contract)


def _given(sheet: Sheet, zone: str) -> tuple[Grant, ...]:
    """All that pays before money does, in the order in which it covers."""
    found = (
        ("grant", grants.read(sheet, zone)),
        ("subscription", subscriptions.read(sheet, zone)),
        ("capacity", capacity.read(sheet, zone)),
    )
    return grants.ordered(sheet, found)


def _bought(sheet: Sheet, given: tuple[Grant, ...], items: tuple[Item, ...]) -> None:
    """See that what is bought as an item is sold by one."""
    for name, field, kind in (("subscription", "fee", Fee), ("capacity", "throughput", Throughput)):
        sold = {each.id for each in items if isinstance(each, kind)}
        for place, row in enumerate(sheet.rows(name)):
            wanted = next((each.of for each in given if each.id == row.get("id")), "")
            if wanted and wanted not in sold:
                reason = f'this contract has no {field} "{wanted}"{suggestion(wanted, sold)}'
                sheet.fault((name, place, field), reason)


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
    return Terms(
        pays=raw.pays,
        due_days=raw.due_days,
        credit_limit_pico=limit,
        corrections=raw.corrections,
    )


def _rule(row: Found[_Price], zone: str) -> PriceRule | None:
    raw = row.value
    own = bool(raw.per_million or raw.per_unit or raw.per_block or raw.tier)
    discount_ppm = percents.discount(row.sheet, (*row.path, "discount"), raw.discount)
    found = windows.read(row.sheet, (*row.path, "calendar"), raw.calendar, zone)
    if raw.book is None and not own:
        row.fault((), 'no price: write book = "..." or per_million = { input = "2", output = "8" }')
        return None
    tariff: Tariff | None = None
    counted = raw.tiers in COUNTED or raw.block is not None
    if raw.shared and (raw.tiers == "volume" or not counted):
        row.fault(
            ("shared",), 'only what is counted is shared: with tiers = "graduated", or blocks'
        )
    if raw.per is not None and not counted:
        reason = (
            'only what is counted has a period: with tiers = "graduated" or "volume", or blocks'
        )
        row.fault(("per",), reason)
    minimum_pico = _minimum(row)
    if raw.book is None:
        tariff = _own(row)
    elif own or raw.boundary is not None or raw.tiers is not None or raw.block is not None:
        row.fault(("book",), "a price is either from a book or written here; keep one")
        return None
    if discount_ppm is None or found is None or minimum_pico is None:
        return None
    if raw.book is None and tariff is None:
        return None
    return PriceRule(
        model=raw.model,
        book=raw.book,
        discount_ppm=discount_ppm,
        tariff=tariff,
        labels=raw.labels(),
        windows=None if raw.calendar is None else found,
        minimum_pico=minimum_pico,
    )


def _minimum(row: Found[_Price]) -> int | None:
    """What a call costs at least; None, with a fault, where that can't be said."""
    raw, path = row.value, ("minimum",)
    if raw.minimum is None:
        return 0
    if raw.tiers == "volume" or raw.block is not None:
        reason = "a minimum is for calls that are priced by themselves, not by volume or block"
        row.fault(path, reason)
        return None
    if not isinstance(raw.minimum, str):
        row.fault(path, 'write what a call costs at least as decimal text in quotes, "0.001"')
        return None
    try:
        minimum_pico = money.amount(raw.minimum)
    except money.MoneyError as exc:
        row.fault(path, str(exc))
        return None
    if not 0 < minimum_pico <= MINIMUM_LIMIT_PICO:
        most = money.exact(MINIMUM_LIMIT_PICO)
        row.fault(path, f"the least that a call costs is above 0 and up to {most}")
        return None
    return minimum_pico


def _own(row: Found[_Price]) -> Tariff | None:
    """A tariff that a contract writes itself; one that counts has the name of what it is for."""
    raw = row.value
    tariff = rates.tariff(row.sheet, row.path, raw)
    if tariff is None or not (tariff.kind in COUNTED or tariff.blocks):
        return tariff
    labels = (raw.service_tier, raw.region, raw.mode)
    name = "/".join([raw.model, *(each or "" for each in labels)]).rstrip("/")
    return msgspec.structs.replace(tariff, name=name, shared=raw.shared, per=raw.per or "month")
