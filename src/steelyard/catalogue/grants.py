"""Grants: units that a contract gives for nothing, parsed from its ``[[grant]]`` tables."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue import instants
from steelyard.catalogue.documents import UNITS_COUNTED_MAX, Grant, Labels
from steelyard.catalogue.names import Identifier, Pattern
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet, suggestion
from steelyard.values.meters import METERS

_TOKENS = tuple(name for name, m in METERS.items() if m.unit == "token" and name[0] != "t")
_Size = Annotated[int, msgspec.Meta(ge=1, le=UNITS_COUNTED_MAX)]


class _Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    model: Pattern
    service_tier: Literal["standard", "priority", "flex", "batch"] | None = None
    region: Pattern | None = None
    mode: Pattern | None = None
    tokens: _Size | None = None
    meter: str | None = None
    units: _Size | None = None
    valid_from: date = msgspec.field(name="from")
    until: date | None = None
    every: Literal["month"] | None = None
    shared: bool = False
    priority: Annotated[int, msgspec.Meta(ge=0, le=99)] = 0


def read(sheet: Sheet, zone: str) -> tuple[Grant, ...]:
    """The grants of a contract's sheet in the order in which they cover; faulty ones are noted."""
    rows = shapes(sheet, "grant", _Grant)
    found = [grant for row in rows if (grant := _grant(row, zone)) is not None]
    seen: set[str] = set()
    for row in rows:
        if row.value.id in seen:
            row.fault(("id",), f'this contract has a grant "{row.value.id}" already')
        seen.add(row.value.id)
    return tuple(sorted(found, key=_order))


def _order(grant: Grant) -> tuple[int, bool, int, int, str]:
    """By priority, the soonest expiry, the oldest."""
    endless = grant.until_us is None
    return (grant.priority, endless, grant.until_us or 0, grant.from_us, grant.id)


def _grant(row: Found[_Grant], zone: str) -> Grant | None:
    raw = row.value
    meters, size = _TOKENS, raw.tokens
    if (raw.tokens is None) == (raw.units is None):
        row.fault((), "how much? Write tokens = 1_000_000, or a meter and its units")
        return None
    if raw.units is not None:
        if raw.meter not in METERS:
            known = suggestion(raw.meter or "", METERS)
            row.fault(("meter",), f'units of what? There is no meter "{raw.meter or ""}"{known}')
            return None
        meters, size = (raw.meter,), raw.units
    elif raw.meter is not None:
        row.fault(("meter",), "tokens are of all meters of tokens; write units for one meter")
        return None
    from_us = instants.day(raw.valid_from, zone)
    until_us = None if raw.until is None else instants.day(raw.until, zone)
    if until_us is not None and until_us <= from_us:
        row.fault(("until",), f"it ends before it begins, on {raw.valid_from}")
        return None
    assert size is not None
    return Grant(
        id=raw.id,
        model=raw.model,
        meters=meters,
        size=size,
        from_us=from_us,
        since=raw.valid_from.isoformat(),
        until_us=until_us,
        until=None if raw.until is None else raw.until.isoformat(),
        every=raw.every,
        shared=raw.shared,
        labels=Labels(service_tier=raw.service_tier, region=raw.region, mode=raw.mode),
        priority=raw.priority,
    )
