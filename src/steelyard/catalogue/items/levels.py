"""Service levels: what a service has to be, parsed from ``[[service_level]]`` tables."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue import percents
from steelyard.catalogue.items.kinds import ServiceLevel, Step
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    below: object = None
    above_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] | None = None
    credit: object


class _ServiceLevel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    measure: Literal["availability", "ttft", "token_time"]
    percentile: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    step: Annotated[tuple[_Step, ...], msgspec.Meta(min_length=1, max_length=100)]
    counts: tuple[Pattern, ...] = ("*",)


def read(sheet: Sheet, currency: str) -> list[Found[ServiceLevel]]:
    """The service levels of a contract's sheet; faulty ones are noted."""
    del currency
    rows = shapes(sheet, "service_level", _ServiceLevel)
    found = [(row, _level(row)) for row in rows]
    return [Found(sheet, row.path, level) for row, level in found if level is not None]


def _level(row: Found[_ServiceLevel]) -> ServiceLevel | None:
    raw = row.value
    available = raw.measure == "availability"
    if available == (raw.percentile is not None):
        reason = "times have a percentile, 95; an availability has none"
        row.fault(("percentile",) if available else (), reason)
        return None
    steps = [_step(row, index) for index in range(len(raw.step))]
    sound = [step for step in steps if step is not None]
    if len(sound) < len(steps):
        return None
    for index, (mild, worse) in enumerate(pairwise(sound), start=1):
        deeper = worse.beyond < mild.beyond if available else worse.beyond > mild.beyond
        if not deeper or worse.credit_ppm <= mild.credit_ppm:
            reason = "steps go from bad to worse, and give more back each time; order them so"
            row.fault(("step", index), reason)
            return None
    return ServiceLevel(
        id=raw.id,
        title=raw.title or raw.id,
        measure=raw.measure,
        percentile=raw.percentile,
        steps=tuple(sound),
        counts=raw.counts,
    )


def _step(row: Found[_ServiceLevel], index: int) -> Step | None:
    raw, where = row.value.step[index], (*row.path, "step", index)
    credit = percents.percent(row.sheet, (*where, "credit"), raw.credit, "credit")
    beyond: int | None
    if row.value.measure == "availability":
        if raw.below is None or raw.above_ms is not None:
            row.fault(("step", index), 'an availability is too low: write below = "99.9%"')
            return None
        beyond = percents.percent(row.sheet, (*where, "below"), raw.below, "availability")
    else:
        if raw.above_ms is None or raw.below is not None:
            row.fault(("step", index), "a time is too long: write above_ms = 800")
            return None
        beyond = raw.above_ms
    if credit is None or beyond is None:
        return None
    return Step(beyond=beyond, credit_ppm=credit)
