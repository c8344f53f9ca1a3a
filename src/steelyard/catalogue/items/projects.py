"""Projects: work that is accepted by milestone, parsed from ``[[project]]`` tables."""

from __future__ import annotations

from typing import Annotated

import msgspec

from steelyard.catalogue import percents
from steelyard.catalogue.items import reading
from steelyard.catalogue.items.kinds import Milestone, Project
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet


class _Milestone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    amount: object


class _Project(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    milestone: Annotated[tuple[_Milestone, ...], msgspec.Meta(max_length=1000)] = ()
    advance: object = None
    retention: object = None
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=3660)] | None = None
    person_day: object = None
    person_hour: object = None
    budget: object = None
    counts: tuple[Pattern, ...] = ("*",)


def read(sheet: Sheet, currency: str) -> list[Found[Project]]:
    """The projects of a contract's sheet; faulty ones are noted."""
    rows = shapes(sheet, "project", _Project)
    found = [(row, _project(row, currency)) for row in rows]
    return [Found(sheet, row.path, project) for row, project in found if project is not None]


def _project(row: Found[_Project], currency: str) -> Project | None:
    raw, sheet = row.value, row.sheet
    before = len(sheet.faults)

    def priced(name: str) -> int | None:
        written = getattr(raw, name)
        return None if written is None else reading.price(sheet, (*row.path, name), written)

    milestones: list[Milestone] = []
    for index, each in enumerate(raw.milestone):
        where = (*row.path, "milestone", index, "amount")
        amount = reading.amount(sheet, where, each.amount, currency)
        if amount is not None:
            milestone = Milestone(id=each.id, title=each.title or each.id, amount_pico=amount)
            milestones.append(milestone)
    reading.unique(row, "milestone", [each.id for each in raw.milestone])
    advance = percents.percent(sheet, (*row.path, "advance"), raw.advance, "part")
    retention = percents.percent(sheet, (*row.path, "retention"), raw.retention, "part")
    day, hour = priced("person_day"), priced("person_hour")
    budget = 0
    if raw.budget is not None:
        budget = reading.amount(sheet, (*row.path, "budget"), raw.budget, currency) or 0
    if raw.retention_days is not None and not retention:
        row.fault(("retention_days",), 'nothing is kept back; write retention = "5%" too')
    if not milestones and raw.person_day is None and raw.person_hour is None:
        row.fault((), "what is paid for? Write milestone = [{ id, amount }], or person_day")
    if len(sheet.faults) > before:
        return None
    return Project(
        id=raw.id,
        title=raw.title or raw.id,
        milestones=tuple(milestones),
        advance_ppm=advance or 0,
        retention_ppm=retention or 0,
        retention_days=raw.retention_days,
        person_day_pico=day,
        person_hour_pico=hour,
        budget_pico=budget,
        counts=raw.counts,
    )
