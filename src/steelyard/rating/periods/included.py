"""Included: what the terms of fees, and orders of throughput, let calls draw on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from steelyard.catalogue import capacity, grants
from steelyard.catalogue.documents import Contract, Edition, Grant
from steelyard.catalogue.items.kinds import Fee, Throughput
from steelyard.rating.periods import fees, throughput
from steelyard.rating.periods.charging import tell
from steelyard.rating.periods.told import Told, stretches
from steelyard.values import periods
from steelyard.values.events import Event

FOREVER_US = 2**63 - 1

_COUNTED = {"calls": "calls", "units": "tokens", "credits": "credits"}
"""What a plan's ``includes`` calls what a grant gives."""


class Reserved(NamedTuple):
    """Tokens a minute that are there from one instant to another. Unit: µs since 1970."""

    from_us: int
    until_us: int
    input_tpm: int
    output_tpm: int


def with_bought(
    edition: Edition, happened: Mapping[str, Sequence[Event]], until_us: int
) -> Edition:
    """An edition whose contracts give what was bought under them until an instant.

    ``happened`` are the events of each contract in their order.
    """
    if not sells(edition):
        return edition
    found = {
        name: tuple(_bought(edition, name, happened.get(name, ()), until_us))
        for name in {each.id for each in edition.contracts if any(g.of for g in each.grants)}
    }
    contracts = tuple(
        _with(each, found[each.id]) if each.id in found else each for each in edition.contracts
    )
    return msgspec.structs.replace(edition, contracts=contracts)


def sells(edition: Edition) -> bool:
    """Whether what calls draw on is bought under some contract."""
    return any(grant.of for each in edition.contracts for grant in each.grants)


def _with(contract: Contract, bought: tuple[tuple[str, Grant], ...]) -> Contract:
    names = {grant.id for grant in contract.grants if grant.of}
    more = [grant for name, grant in bought if name in names]
    every = tuple(sorted([*contract.grants, *more], key=grants.order))
    return msgspec.structs.replace(contract, grants=every)


def _bought(
    edition: Edition, contract: str, happened: Sequence[Event], until_us: int
) -> Iterator[tuple[str, Grant]]:
    """What was bought under a contract, each with the id of the table that says what it covers."""
    versions = sorted(
        (each for each in edition.contracts if each.id == contract),
        key=lambda each: each.valid_from_us,
    )
    told = tell(versions, happened)
    tables = {grant.id: grant for each in versions for grant in each.grants if grant.of}
    for name, grant in tables.items():
        item = told.get(grant.of)
        if item is None:
            continue
        sold_by_fee = any(isinstance(each, Fee) for _, each in item.versions)
        made = _of_fee(grant, item, until_us) if sold_by_fee else _of_orders(grant, item)
        yield from ((name, each) for each in made)


def _of_fee(table: Grant, item: Told[Fee], until_us: int) -> Iterator[Grant]:
    for quota in fees.quotas(item, until_us):
        units = quota.includes.get(_COUNTED.get(table.gives, ""), 0)
        if units:
            moment = periods.from_us(quota.from_us, item.zone)
            named = f"{table.id}.{moment:%Y%m%dT%H%M%S}"
            given = _dated(table, item.zone, (quota.from_us, quota.until_us))
            yield msgspec.structs.replace(given, id=named, size=units * table.scale)


def _of_orders(table: Grant, item: Told[Throughput]) -> Iterator[Grant]:
    for each in reserved(item):
        given = _dated(table, item.zone, (each.from_us, each.until_us))
        parts = (each.input_tpm * table.scale, each.output_tpm * table.scale)
        yield msgspec.structs.replace(given, quotas=capacity.quotas(*parts))


def _dated(table: Grant, zone: str, span_us: tuple[int, int]) -> Grant:
    from_us, until_us = max(span_us[0], table.from_us), span_us[1]
    endless = until_us >= FOREVER_US
    return msgspec.structs.replace(
        table,
        of="",
        from_us=from_us,
        since=periods.day_of(from_us, zone).isoformat(),
        until_us=None if endless else until_us,
        until=None if endless else periods.day_of(until_us, zone).isoformat(),
    )


def reserved(item: Told[Throughput]) -> list[Reserved]:
    """What was ordered, all that holds at a time added up."""
    orders = list(_orders(item))
    marks = sorted({mark for each in orders for mark in each[:2]})
    found: list[Reserved] = []
    for from_us, until_us in pairwise(marks):
        here = [each for each in orders if each.from_us <= from_us and until_us <= each.until_us]
        tpm = (sum(each.input_tpm for each in here), sum(each.output_tpm for each in here))
        if any(tpm):
            found.append(Reserved(from_us, until_us, *tpm))
    return found


def _orders(item: Told[Throughput]) -> Iterator[Reserved]:
    """By the day from the order on, or from where the one before ends; by the hour as it stood."""
    ends: dict[str, tuple[int, int]] = {}
    for event, expiry in throughput.expiries(item):
        from_us = event.at_us
        before = ends.get(event.name)
        if before is not None and event.at_us < before[1]:
            from_us = max(event.at_us, before[0])
        ends[event.name] = (expiry.ends_us, expiry.released_us)
        yield _order(event, from_us, expiry.ends_us)
    for stretch in stretches(item.events):
        sold = item.at(stretch.begin_us)
        if stretch.began is not None and sold is not None and sold.per == "hour":
            until_us = FOREVER_US if stretch.end_us is None else stretch.end_us
            if until_us > stretch.begin_us:
                yield _order(stretch.began, stretch.begin_us, until_us)


def _order(event: Event, from_us: int, until_us: int) -> Reserved:
    units = event.units
    return Reserved(
        from_us, until_us, units.get(throughput.INPUT, 0), units.get(throughput.OUTPUT, 0)
    )
