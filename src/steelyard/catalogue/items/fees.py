"""Fees: what is paid for a month, a quarter or a year, parsed from ``[[fee]]`` tables."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue.items import reading
from steelyard.catalogue.items.kinds import Fee, Plan
from steelyard.catalogue.names import Identifier, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet

Per = Literal["month", "quarter", "year"]

MONTHS: dict[Per, int] = {"month": 1, "quarter": 3, "year": 12}


class _Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    amount: object
    includes: dict[str, Annotated[int, msgspec.Meta(ge=0, le=10**12)]] = {}


class _Fee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    amount: object = None
    includes: dict[str, Annotated[int, msgspec.Meta(ge=0, le=10**12)]] = {}
    plan: tuple[_Plan, ...] = ()
    per: Per = "month"
    valid_from: date | None = msgspec.field(name="from", default=None)
    until: date | None = None
    anchor: Literal["day", "calendar"] = "day"
    due: Literal["start", "end"] = "start"
    prorate: Literal["days", "thirtieths", "none"] = "days"
    refund: bool = False
    spread: bool = False
    seats: reading.Count | None = None
    trial_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0


def read(sheet: Sheet, currency: str) -> list[Found[Fee]]:
    """The fees of a contract's sheet; faulty ones are noted."""
    rows = shapes(sheet, "fee", _Fee)
    found = [(row, _fee(row, currency)) for row in rows]
    return [Found(sheet, row.path, fee) for row, fee in found if fee is not None]


def _fee(row: Found[_Fee], currency: str) -> Fee | None:
    raw = row.value
    plans = _plans(row, currency)
    if raw.spread and raw.due == "end":
        row.fault(("spread",), "what is paid at the end is earned already; remove one of the two")
        return None
    if raw.spread and raw.per == "month":
        row.fault(("spread",), "a month's fee is earned in its month; spread a quarter's or year's")
        return None
    if plans is None or not reading.lasts(row, raw.valid_from, raw.until):
        return None
    return Fee(
        id=raw.id,
        title=raw.title or raw.id,
        plans=plans,
        months=MONTHS[raw.per],
        since=reading.iso(raw.valid_from),
        until=reading.iso(raw.until),
        anchor=raw.anchor,
        due=raw.due,
        prorate=raw.prorate,
        refund=raw.refund,
        spread=raw.spread,
        count=1 if raw.seats is None else raw.seats,
        meter="fees" if raw.seats is None else "seats",
        trial_days=raw.trial_days,
    )


def _plans(row: Found[_Fee], currency: str) -> tuple[Plan, ...] | None:
    raw = row.value
    several = raw.plan
    if (raw.amount is None) is not bool(several):
        row.fault((), 'how much? Write amount = "200.00", or several of plan = [{ id, amount }]')
        return None
    if raw.amount is not None:
        amount = reading.amount(row.sheet, (*row.path, "amount"), raw.amount, currency)
        if amount is None:
            return None
        return (Plan(id=raw.id, amount_pico=amount, includes=raw.includes),)
    if not reading.unique(row, "plan", [each.id for each in several]):
        return None
    plans: list[Plan] = []
    for index, each in enumerate(several):
        where = (*row.path, "plan", index, "amount")
        amount = reading.amount(row.sheet, where, each.amount, currency)
        if amount is None:
            return None
        plans.append(Plan(id=each.id, amount_pico=amount, includes=each.includes))
    return tuple(plans)
