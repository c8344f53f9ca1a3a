"""References: what items name must be there, and must not be called like something else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import cast

from steelyard.catalogue.documents import Contract
from steelyard.catalogue.items.kinds import Bundle, Dedicated, Item, Throughput
from steelyard.catalogue.items.tables import READERS
from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Found, suggestion


def check(
    contracts: Sequence[Found[Contract]], models: Collection[str], earners: Collection[str]
) -> None:
    """Note each item that names what is not there, or has a name that is taken."""
    kinds: dict[tuple[str, str], tuple[type, str]] = {}
    stems = {model.partition(":")[0] for model in models}
    for contract in contracts:
        mine = {item.id for item in contract.value.items}
        for path, item in _placed(contract):
            key = (contract.value.id, item.id)
            kind, file = kinds.setdefault(key, (type(item), contract.sheet.file))
            if kind is not type(item):
                reason = f'"{item.id}" is another kind of table in {file}; give this one its own id'
                contract.fault((*path, "id"), reason)
            if item.id in stems:
                reason = f'"{item.id}" is a model; give this another id, so that lines tell them'
                contract.fault((*path, "id"), f"{reason} apart")
            if isinstance(item, Bundle):
                _bundle(contract, path, item, (mine, earners))
            elif isinstance(item, Throughput | Dedicated) and item.model is not None:
                _known(contract, (*path, "model"), "model", item.model, models)


def names(contracts: Iterable[Found[Contract]]) -> set[str]:
    """The ids of all items: what share rules may be for, beside models."""
    return {item.id for contract in contracts for item in contract.value.items}


def _placed(contract: Found[Contract]) -> Iterable[tuple[Path, Item]]:
    by_id = {item.id: item for item in contract.value.items}
    for table in READERS:
        for index, row in enumerate(contract.sheet.rows(table)):
            item = by_id.get(cast("str", row.get("id")))
            if item is not None:
                yield (table, index), item


def _bundle(
    contract: Found[Contract],
    path: Path,
    bundle: Bundle,
    known: tuple[Collection[str], Collection[str]],
) -> None:
    items, earners = known
    for index, name in enumerate(bundle.of):
        _known(contract, (*path, "of", index), "fee or other table", name, items)
    for index, part in enumerate(bundle.parts):
        _known(contract, (*path, "part", index, "earner"), "earner", part.earner, earners)
    if bundle.rest is not None:
        _known(contract, (*path, "rest"), "earner", bundle.rest, earners)


def _known(
    contract: Found[Contract], path: Path, what: str, name: str, names_: Collection[str]
) -> None:
    if name not in names_:
        contract.fault(path, f'unknown {what} "{name}"{suggestion(name, names_)}')
