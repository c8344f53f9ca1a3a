"""Titles: what the items of a contract are called on documents."""

from __future__ import annotations

from steelyard.catalogue.documents import Contract
from steelyard.catalogue.items.kinds import Project


def title(contract: Contract, line: str) -> str:
    """What a line's item is called, ``Rollout: Design``; empty for the name of a model.

    A line of an item has its ``id``, and behind a colon what of it the line is for.
    """
    name, _, part = line.partition(":")
    item = next((each for each in contract.items if each.id == name), None)
    if item is None:
        return ""
    if isinstance(item, Project):
        named = {each.id: each.title for each in item.milestones}
        part = named.get(part, part)
    return f"{item.title}: {part}" if part else item.title
