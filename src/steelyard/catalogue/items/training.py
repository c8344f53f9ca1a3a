"""Training: tuning, keeping and teaching, parsed from ``[[training]]`` tables."""

from __future__ import annotations

import msgspec

from steelyard.catalogue import rates
from steelyard.catalogue.items.kinds import Training
from steelyard.catalogue.names import Identifier, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values.meters import ALL_METERS


class _Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    per_million: dict[str, object] = {}
    per_unit: dict[str, object] = {}


def read(sheet: Sheet, currency: str) -> list[Found[Training]]:
    """What a contract's sheet charges for training; faulty tables are noted."""
    del currency
    found: list[Found[Training]] = []
    for row in shapes(sheet, "training", _Training):
        raw = row.value
        tables = {"per_million": raw.per_million, "per_unit": raw.per_unit}
        priced = rates.rates(sheet, row.path, tables, known=ALL_METERS)
        if priced is not None:
            training = Training(id=raw.id, title=raw.title or raw.id, prices=priced.prices)
            found.append(Found(sheet, row.path, training))
    return found
