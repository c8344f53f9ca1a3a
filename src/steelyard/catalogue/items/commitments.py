"""Commitments: what is used at least, or paid in advance, parsed from ``[[commitment]]`` tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue.items import reading
from steelyard.catalogue.items.fees import MONTHS, Per
from steelyard.catalogue.items.kinds import Commitment, Phase, Savings
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.places import Path
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values import periods
from steelyard.values.periods import Month


class _Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount: object
    valid_from: date = msgspec.field(name="from")


class _Commitment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    amount: object = None
    per: Per = "month"
    valid_from: date | None = msgspec.field(name="from", default=None)
    until: date | None = None
    phase: tuple[_Phase, ...] = ()
    counts: tuple[Pattern, ...] = ("*",)


class _Savings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    amount: object
    months: Annotated[int, msgspec.Meta(ge=1, le=120)]
    valid_from: date | None = msgspec.field(name="from", default=None)
    counts: tuple[Pattern, ...] = ("*",)
    rest: Literal["kept", "returned"] = "kept"


def read(sheet: Sheet, currency: str) -> list[Found[Commitment]]:
    """The minimum commitments of a contract's sheet; faulty ones are noted."""
    rows = shapes(sheet, "commitment", _Commitment)
    found = [(row, _commitment(row, currency)) for row in rows]
    return [Found(sheet, row.path, each) for row, each in found if each is not None]


def read_savings(sheet: Sheet, currency: str) -> list[Found[Savings]]:
    """The savings plans of a contract's sheet; faulty ones are noted."""
    found: list[Found[Savings]] = []
    for row in shapes(sheet, "savings", _Savings):
        raw = row.value
        amount = reading.amount(sheet, (*row.path, "amount"), raw.amount, currency)
        if amount is not None and reading.lasts(row, raw.valid_from, None):
            savings = Savings(
                id=raw.id,
                title=raw.title or raw.id,
                amount_pico=amount,
                months=raw.months,
                since=reading.iso(raw.valid_from),
                counts=raw.counts,
                rest=raw.rest,
            )
            found.append(Found(sheet, row.path, savings))
    return found


def _commitment(row: Found[_Commitment], currency: str) -> Commitment | None:
    raw = row.value
    single = raw.amount is not None and raw.valid_from is not None
    if single == bool(raw.phase) or (raw.phase and (raw.amount or raw.valid_from)):
        reason = 'how much, and from when? Write amount = "20000.00" and from = 2026-01-01, or'
        row.fault((), f"{reason} several of phase = [{{ from, amount }}]")
        return None
    written = [(("phase", i), each.valid_from, each.amount) for i, each in enumerate(raw.phase)]
    if raw.valid_from is not None:
        written = [((), raw.valid_from, raw.amount)]
    phases: list[Phase] = []
    before: date | None = None
    for path, since, amount in written:
        if not reading.lasts(row, since, None):
            return None
        if since.day != 1:
            row.fault((*path, "from"), "a commitment begins with a month; write its first day")
            return None
        if before is not None and since <= before:
            row.fault((*path, "from"), f"phases are in their order, and this is after {before}")
            return None
        found = reading.amount(row.sheet, (*row.path, *path, "amount"), amount, currency)
        if found is None:
            return None
        phases.append(Phase(since=since.isoformat(), amount_pico=found))
        before = since
    if not reading.lasts(row, before, raw.until) or not _whole_terms(
        row, [each[:2] for each in written]
    ):
        return None
    return Commitment(
        id=raw.id,
        title=raw.title or raw.id,
        months=MONTHS[raw.per],
        phases=tuple(phases),
        until=reading.iso(raw.until),
        counts=raw.counts,
    )


def _whole_terms(row: Found[_Commitment], phases: Sequence[tuple[Path, date]]) -> bool:
    """Whether phases and the end are where terms begin; else it is a fault."""
    raw = row.value
    first = _month(phases[0][1])
    places = [((*path, "from"), since) for path, since in phases]
    if raw.until is not None:
        places.append((("until",), raw.until))
    for path, day in places:
        if day.day != 1 or periods.months_between(first, _month(day)) % MONTHS[raw.per]:
            reason = f"a term is a {raw.per}, the first from {phases[0][1]} on"
            row.fault(path, f"{reason}; write the first day of one")
            return False
    return True


def _month(day: date) -> Month:
    return Month(day.year, day.month)
