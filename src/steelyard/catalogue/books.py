"""Price books: dated, sourced list prices of one vendor, parsed from a file of ``prices/``."""

from __future__ import annotations

from datetime import date

import msgspec

from steelyard.catalogue import instants, rates, windows
from steelyard.catalogue.documents import COUNTED, Labels, ListPrice, PriceBook
from steelyard.catalogue.names import Identifier, ModelId, Text
from steelyard.catalogue.shapes import shape, shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values import periods


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    vendor: Text
    currency: str
    zone: str = "UTC"
    source: Text | None = None
    checked: date | None = None


class _Price(rates.RawPrice, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: ModelId
    valid_from: object = msgspec.field(name="from")
    source: Text | None = None
    checked: date | None = None


def read(sheet: Sheet) -> Found[PriceBook] | None:
    """Parse a price book; None when it is faulty.

    ``zone``, ``source`` and ``checked`` at the top hold for each price that has none of its own.
    """
    before = len(sheet.faults)
    raw = {name: value for name, value in sheet.table.items() if name != "price"}
    head = shape(sheet, (), raw, _Head, also=("price",))
    rows = shapes(sheet, "price", _Price)
    if head is None:
        return None
    currency = instants.currency(sheet, ("currency",), head.currency)
    zone = instants.zone(sheet, ("zone",), head.zone)
    prices = [_list_price(row, head, zone or "UTC") for row in rows]
    if currency is None or len(sheet.faults) > before:
        return None
    listed = tuple(price for price in prices if price is not None)
    _unique(rows, listed)
    if len(sheet.faults) > before:
        return None
    ordered = tuple(sorted(listed, key=lambda p: (p.model, p.from_us, _order(p.labels))))
    book = PriceBook(
        id=head.id,
        vendor=head.vendor,
        currency=currency,
        zone=head.zone,
        prices=ordered,
    )
    return Found(sheet, (), book)


def _list_price(row: Found[_Price], head: _Head, zone: str) -> ListPrice | None:
    raw = row.value
    from_us = instants.instant(row.sheet, (*row.path, "from"), raw.valid_from, zone)
    tariff = rates.tariff(row.sheet, row.path, raw)
    if raw.tiers in COUNTED or raw.block is not None:
        row.fault(
            ("tiers" if raw.tiers else "block",),
            "what a customer uses in a month is counted by a contract, not a book",
        )
    listed = windows.read(row.sheet, (*row.path, "calendar"), raw.calendar, zone)
    source, checked = raw.source or head.source, raw.checked or head.checked
    if source is None:
        row.fault((), 'where does this price come from? Write source = "https://..."')
    if checked is None:
        row.fault((), "when was this price compared with its source? Write checked = 2026-01-31")
    if from_us is None or tariff is None or source is None or checked is None:
        return None
    if listed is None:
        return None
    return ListPrice(
        model=raw.model,
        from_us=from_us,
        tariff=tariff,
        source=source,
        checked=checked.isoformat(),
        labels=raw.labels(),
        windows=listed,
    )


def _order(labels: Labels) -> tuple[str, ...]:
    return (labels.service_tier or "", labels.region or "", labels.mode or "")


def _unique(rows: list[Found[_Price]], listed: tuple[ListPrice, ...]) -> None:
    seen: set[tuple[str, int, Labels]] = set()
    for row, price in zip(rows, listed, strict=True):
        if (price.model, price.from_us, price.labels) in seen:
            when = periods.from_us(price.from_us).isoformat()
            row.fault(("from",), f"{price.model} has another price from {when} on; keep one")
        seen.add((price.model, price.from_us, price.labels))
