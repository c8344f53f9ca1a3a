"""Dedicated deployments: model units and nodes, parsed from ``[[dedicated]]`` tables."""

from __future__ import annotations

from typing import Literal

import msgspec

from steelyard.catalogue import percents
from steelyard.catalogue.items import reading
from steelyard.catalogue.items.kinds import Dedicated
from steelyard.catalogue.names import Identifier, ModelId, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet


class _Dedicated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    model: ModelId | None = None
    unit: Literal["unit", "node"] = "unit"
    per: Literal["hour", "month"]
    price: object
    early_return: object = None


def read(sheet: Sheet, currency: str) -> list[Found[Dedicated]]:
    """The dedicated deployments that a contract's sheet sells; faulty ones are noted."""
    del currency
    found: list[Found[Dedicated]] = []
    for row in shapes(sheet, "dedicated", _Dedicated):
        raw = row.value
        price_pico = reading.price(sheet, (*row.path, "price"), raw.price)
        early_ppm: int | None = None
        if raw.early_return is not None:
            early_ppm = percents.factor(sheet, (*row.path, "early_return"), raw.early_return)
            if raw.per == "hour":
                row.fault(("early_return",), "hours are paid as they are used; remove it")
                continue
        if price_pico is None or (early_ppm is None and raw.early_return is not None):
            continue
        dedicated = Dedicated(
            id=raw.id,
            title=raw.title or raw.id,
            model=raw.model,
            unit=raw.unit,
            per=raw.per,
            price_pico=price_pico,
            early_ppm=early_ppm,
        )
        found.append(Found(sheet, row.path, dedicated))
    return found
