"""Parties: customers and earners, parsed from ``steelyard.toml``."""

from __future__ import annotations

from typing import Annotated

import msgspec

from steelyard.catalogue.documents import Party
from steelyard.catalogue.names import Identifier, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet


class _Party(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    name: Text | None = None
    address: tuple[Text, ...] = ()
    weight: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


def read(sheet: Sheet, name: str) -> list[Found[Party]]:
    """Parse the ``[[customer]]`` or ``[[earner]]`` tables; a party without a name has its id."""
    found: list[Found[Party]] = []
    for row in shapes(sheet, name, _Party):
        raw = row.value
        if raw.weight is not None and name != "customer":
            row.fault(("weight",), "customers' calls have a weight; remove it")
            continue
        party = Party(
            id=raw.id, name=raw.name or raw.id, address=raw.address, weight=raw.weight or 1
        )
        found.append(Found(sheet, row.path, party))
    return found
