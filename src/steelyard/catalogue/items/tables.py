"""Tables: every kind of item by the name of its table, read from one contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steelyard.catalogue.items import (
    bundles,
    commitments,
    dedicated,
    fees,
    levels,
    licences,
    projects,
    throughput,
    training,
)
from steelyard.catalogue.items.kinds import Item
from steelyard.catalogue.sheets import Found, Sheet

READERS: dict[str, Callable[[Sheet, str], Sequence[Found[Any]]]] = {
    "fee": fees.read,
    "commitment": commitments.read,
    "savings": commitments.read_savings,
    "throughput": throughput.read,
    "dedicated": dedicated.read,
    "project": projects.read,
    "licence": licences.read,
    "training": training.read,
    "bundle": bundles.read,
    "service_level": levels.read,
}
"""By the name of the table, ``[[fee]]``, in the order in which they are rated."""


def read(sheet: Sheet, currency: str) -> tuple[Item, ...]:
    """The items of a contract's sheet; faulty ones are noted, and ids that are taken."""
    found = [each for reader in READERS.values() for each in reader(sheet, currency)]
    seen: set[str] = set()
    for each in found:
        if each.value.id in seen:
            each.fault(("id",), f'this contract has "{each.value.id}" already; ids are different')
        seen.add(each.value.id)
    return tuple(each.value for each in found)
