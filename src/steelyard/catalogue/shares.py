"""Share rules: what each earner is due for calls sold in one currency, from ``shares/``."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from steelyard.catalogue import instants, rates
from steelyard.catalogue.documents import CostRule, ShareRule
from steelyard.catalogue.names import Identifier, Pattern
from steelyard.catalogue.shapes import shape, shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values.meters import ALL_METERS


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    currency: str
    zone: str | None = None
    valid_from: date


class _Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    component: Literal["model", "compute", "storage", "network", "scheduling"]
    earner: Identifier
    models: Pattern = "*"
    deployments: Pattern = "*"
    per_million: dict[str, object] = {}
    per_unit: dict[str, object] = {}


def read(sheet: Sheet, studio_zone: str) -> Found[ShareRule] | None:
    """Parse share rules; None when they are faulty. Without a zone they have the studio's."""
    before = len(sheet.faults)
    raw = {name: value for name, value in sheet.table.items() if name != "cost"}
    head = shape(sheet, (), raw, _Head, also=("cost",))
    rows = shapes(sheet, "cost", _Cost)
    costs = [_cost(row) for row in rows]
    if "cost" not in sheet.table and not sheet.faults[before:]:
        sheet.fault((), "nobody earns anything by this; add [[cost]] with component and earner")
    if head is None:
        return None
    currency = instants.currency(sheet, ("currency",), head.currency)
    zone = instants.zone(sheet, ("zone",), head.zone or studio_zone)
    if currency is None or zone is None or len(sheet.faults) > before:
        return None
    rule = ShareRule(
        id=head.id,
        currency=currency,
        valid_from_us=instants.day(head.valid_from, zone),
        valid_from=head.valid_from.isoformat(),
        costs=tuple(cost for cost in costs if cost is not None),
    )
    return Found(sheet, (), rule)


def _cost(row: Found[_Cost]) -> CostRule | None:
    raw = row.value
    tables = {"per_million": raw.per_million, "per_unit": raw.per_unit}
    found = rates.rates(row.sheet, row.path, tables, rates.TOKEN_COST_MIN_PICO, ALL_METERS)
    if found is None:
        return None
    return CostRule(
        component=raw.component,
        earner=raw.earner,
        models=raw.models,
        deployments=raw.deployments,
        rates=found,
    )
