"""Batches: those that were booked, as they were booked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from steelyard.clerk.archive import BookedBatch
from steelyard.clerk.issuing import covered
from steelyard.ledger import chain
from steelyard.ledger.chain import Batch, Range
from steelyard.rating.counting import Counter
from steelyard.store import tables
from steelyard.store.documents import issued_by_correction

BATCHES_AT_ONCE = 256
"""How many batches are read at a time."""


def batches_of(connection: sa.Connection) -> Iterator[BookedBatch]:
    """Each batch, in order."""
    table, last = tables.batches, 0
    query = sa.select(tables.editions.c.number, tables.editions.c.sha256)
    hashes = {row.number: row.sha256 for row in connection.execute(query)}
    while True:
        query = sa.select(table).where(table.c.number > last).order_by(table.c.number)
        rows = connection.execute(query.limit(BATCHES_AT_ONCE)).mappings().all()
        if not rows:
            return
        first, last = rows[0]["number"], rows[-1]["number"]
        ranges = _grouped(connection, tables.ranges, first, last)
        named = _grouped(connection, tables.batch_editions, first, last)
        months = _grouped(connection, tables.batch_periods, first, last)
        counters = _grouped(connection, tables.batch_counters, first, last)
        for row in rows:
            number = row["number"]
            values: dict[str, Any] = {**row}
            entry_hash = values.pop("hash")
            batch = Batch(
                **values,
                ranges=tuple(Range(r.segment, r.start, r.end) for r in ranges[number]),
                editions=tuple((r.edition, hashes.get(r.edition, b"")) for r in named[number]),
                periods=tuple(r.period for r in months[number]),
                counters=tuple(sorted((Counter(*r[1:-1]), r.value) for r in counters[number])),
                documents=_covered(connection, number) if row["kind"] == "correction" else (),
            )
            yield BookedBatch(batch, entry_hash)


def _covered(connection: sa.Connection, number: int) -> tuple[chain.Document, ...]:
    return tuple(map(covered, issued_by_correction(connection, number)))


def _grouped(
    connection: sa.Connection, table: sa.Table, first: int, last: int
) -> Mapping[int, list[sa.Row[Any]]]:
    query = sa.select(table).where(table.c.batch.between(first, last))
    found: defaultdict[int, list[sa.Row[Any]]] = defaultdict(list)
    for row in connection.execute(query.order_by(*table.primary_key)):
        found[row.batch].append(row)
    return found
