"""Orders to correct, and what the books come to."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pyarrow.parquet as pq

from steelyard.clerk import parquet
from steelyard.clerk.audit import Proof, audit
from steelyard.rating.corrections import (
    FACT_KIND,
    Change,
    Correction,
    Scope,
)
from steelyard.store.archive import open_archive
from steelyard.values.facts import Fact
from steelyard.values.ids import content_id
from tests.clerk.desk import Desk, told, us

ORDERED_US = us("2026-12-03T00:00:00+08:00")


def order(change: Change, scope: Scope | None = None, edition: int = 1, name: str = "") -> Fact:
    """A fact that orders a correction; of another ``name`` it is another fact."""
    given = Correction(scope=scope or Scope(), change=change, edition=edition, reason="a test")
    body = msgspec.json.encode(given)
    return Fact(
        content_id(ORDERED_US, body + name.encode()), ORDERED_US, FACT_KIND, body.decode(), "tester"
    )


def carry_out(desk: Desk, *facts: Fact) -> None:
    """Write orders down, and have the clerk carry them out."""
    names = {path.name for path in desk.journal.iterdir()}
    told(desk.root, f"orders-{len(names)}", *facts)
    desk.book()


def lines(desk: Desk, batch: int) -> list[dict[str, Any]]:
    return pq.read_table(parquet.path_of(desk.lines, batch)).to_pylist()


def standing(desk: Desk) -> dict[tuple[Any, ...], int]:
    """The units that stand, by call and by all that an amount depends on; months aside."""
    found: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    with open_archive(desk.engine, desk.lines) as archive:
        numbers = [each.batch.number for each in archive.batches()]
    names = ("call_id", "customer", "contract", "model", "side", "component", "party", "meter")
    for number in numbers:
        for row in lines(desk, number):
            assert row["units"] * row["price_pico"] == row["amount_pico"]
            key = tuple(row[name] for name in (*names, "price_pico", "currency"))
            found[key] += row["units"]
    return {key: units for key, units in found.items() if units}


def audited(desk: Desk) -> Proof:
    with open_archive(desk.engine, desk.lines) as archive:
        return audit(archive, desk.journal, desk.root, lambda _: None)
