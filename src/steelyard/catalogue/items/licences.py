"""Licences: rights by seat, instance, node or year, by revenue, by tokens, from ``[[licence]]``."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from steelyard.catalogue import percents, rates
from steelyard.catalogue.items import reading
from steelyard.catalogue.items.fees import MONTHS, Per
from steelyard.catalogue.items.kinds import Fee, Licence, Plan
from steelyard.catalogue.names import Identifier, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values.meters import ALL_METERS

By = Literal["seat", "instance", "node", "year", "revenue", "use"]

_COUNTED = {"seat": "seats", "instance": "instances", "node": "node_months", "year": "years"}


class _Licence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    by: By
    amount: object = None
    per: Per | None = None
    count: reading.Count = 1
    valid_from: date | None = msgspec.field(name="from", default=None)
    until: date | None = None
    due: Literal["start", "end"] = "start"
    prorate: Literal["days", "thirtieths", "none"] = "days"
    refund: bool = False
    share: object = None
    least: object = None
    per_million: dict[str, object] = {}
    per_unit: dict[str, object] = {}


def read(sheet: Sheet, currency: str) -> list[Found[Fee | Licence]]:
    """The licences of a contract's sheet; one that is counted is a fee. Faulty ones are noted."""
    found: list[Found[Fee | Licence]] = []
    for row in shapes(sheet, "licence", _Licence):
        licence: Fee | Licence | None
        match row.value.by:
            case "revenue":
                licence = _of_revenue(row, currency)
            case "use":
                licence = _of_use(row)
            case _:
                licence = _counted(row, currency)
        if licence is not None:
            found.append(Found(sheet, row.path, licence))
    return found


def _counted(row: Found[_Licence], currency: str) -> Fee | None:
    raw = row.value
    amount = reading.amount(row.sheet, (*row.path, "amount"), raw.amount, currency)
    if raw.share is not None or raw.least is not None or raw.per_million or raw.per_unit:
        row.fault((), f'by = "{raw.by}" has an amount, and no other price')
        return None
    if amount is None or not reading.lasts(row, raw.valid_from, raw.until):
        return None
    per: Per = raw.per or ("year" if raw.by == "year" else "month")
    return Fee(
        id=raw.id,
        title=raw.title or raw.id,
        plans=(Plan(id=raw.id, amount_pico=amount),),
        months=MONTHS[per],
        since=reading.iso(raw.valid_from),
        until=reading.iso(raw.until),
        due=raw.due,
        prorate=raw.prorate,
        refund=raw.refund,
        count=raw.count,
        meter=_COUNTED[raw.by],
    )


def _of_revenue(row: Found[_Licence], currency: str) -> Licence | None:
    raw = row.value
    if raw.share is None or raw.amount is not None or raw.per_million or raw.per_unit:
        row.fault((), 'which part of the revenue? Write share = "3%", and no other price')
        return None
    share = percents.percent(row.sheet, (*row.path, "share"), raw.share, "part")
    least: int | None = 0
    if raw.least is not None:
        least = reading.amount(row.sheet, (*row.path, "least"), raw.least, currency)
    if share is None or least is None:
        return None
    title = raw.title or raw.id
    return Licence(id=raw.id, title=title, share_ppm=share, least_pico=least, prices={})


def _of_use(row: Found[_Licence]) -> Licence | None:
    raw = row.value
    if raw.share is not None or raw.least is not None or raw.amount is not None:
        row.fault((), "what is used has prices by meter: per_million or per_unit, and no amount")
        return None
    tables = {"per_million": raw.per_million, "per_unit": raw.per_unit}
    found = rates.rates(row.sheet, row.path, tables, known=ALL_METERS)
    if found is None:
        return None
    return Licence(id=raw.id, title=raw.title or raw.id, share_ppm=None, prices=found.prices)
