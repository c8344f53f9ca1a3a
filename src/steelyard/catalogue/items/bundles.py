"""Bundles: how a fee is divided over several parties, parsed from ``[[bundle]]`` tables."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from steelyard.catalogue import percents
from steelyard.catalogue.items import reading
from steelyard.catalogue.items.kinds import Bundle, Part
from steelyard.catalogue.names import Identifier, Pattern, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet, suggestion
from steelyard.values import money
from steelyard.values.meters import METERS


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    earner: Identifier
    component: Literal["model", "compute", "storage", "network", "scheduling"] = "model"
    share: object = None
    list: object = None
    models: tuple[Pattern, ...] = ()


class _Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    of: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1)]
    by: Literal["fixed", "list", "use"]
    part: Annotated[tuple[_Part, ...], msgspec.Meta(min_length=1, max_length=1000)]
    rest: Identifier | None = None
    divide: object = None
    meter: str = "tokens"


_NEEDS = {"fixed": "share", "list": "list", "use": "models"}
_EXAMPLES = {"fixed": 'share = "25%"', "list": 'list = "49.00"', "use": 'models = ["glm-*"]'}


def read(sheet: Sheet, currency: str) -> list[Found[Bundle]]:
    """The bundles of a contract's sheet; faulty ones are noted."""
    rows = shapes(sheet, "bundle", _Bundle)
    found = [(row, _bundle(row, currency)) for row in rows]
    return [Found(sheet, row.path, bundle) for row, bundle in found if bundle is not None]


def _bundle(row: Found[_Bundle], currency: str) -> Bundle | None:
    raw = row.value
    parts = [_part(row, index, currency) for index in range(len(raw.part))]
    divide = money.PER_MILLION
    if raw.divide is not None:
        divide = percents.percent(row.sheet, (*row.path, "divide"), raw.divide, "part") or 0
        if not divide:
            return None
    known = {"tokens", *METERS}
    if raw.meter not in known:
        row.fault(("meter",), f'there is no meter "{raw.meter}"{suggestion(raw.meter, known)}')
        return None
    sound = [part for part in parts if part is not None]
    if len(sound) < len(parts):
        return None
    whole = sum(part.weight for part in sound)
    if raw.by == "fixed" and whole > money.PER_MILLION:
        row.fault(("part",), "the shares are more than 100% together")
        return None
    if raw.by == "list" and not whole:
        row.fault(("part",), "the list prices are all zero; there is nothing to divide by")
        return None
    return Bundle(
        id=raw.id,
        title=raw.title or raw.id,
        of=raw.of,
        by=raw.by,
        parts=tuple(sound),
        rest=raw.rest,
        divide_ppm=divide,
        meter=raw.meter,
    )


def _part(row: Found[_Bundle], index: int, currency: str) -> Part | None:
    raw, by = row.value.part[index], row.value.by
    where = (*row.path, "part", index)
    given = {name for name in ("share", "list", "models") if getattr(raw, name)}
    if given != {_NEEDS[by]}:
        row.fault(("part", index), f'divided by = "{by}", a part has {_EXAMPLES[by]} and no other')
        return None
    weight: int | None = 0
    if by == "fixed":
        weight = percents.percent(row.sheet, (*where, "share"), raw.share, "share")
    elif by == "list":
        weight = reading.amount(row.sheet, (*where, "list"), raw.list, currency)
    if weight is None:
        return None
    return Part(earner=raw.earner, component=raw.component, weight=weight, models=raw.models)
