"""A clerk's desk in a folder: a journal, documents to price by, and the books as they come out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from steelyard.catalogue.documents import CostRule, Edition, Grant, PriceRule
from steelyard.clerk import parquet
from steelyard.clerk.run import Clerk, Outcome
from steelyard.ledger.balances import Account
from steelyard.metering.journal import JournalWriter
from steelyard.rating.schema import SCHEMA
from steelyard.store import tables
from steelyard.store.archive import open_archive
from steelyard.store.books import Books
from steelyard.store.editions import record_edition
from steelyard.store.engines import open_engine, reading, sqlite_url
from steelyard.values.clock import FixedClock
from steelyard.values.facts import Fact
from steelyard.values.ids import content_id
from steelyard.values.usage import UsageRecord
from tests.rating.documents import contract, edition, flat, rates, shares, tiered, us

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

OCTOBER_US = us("2026-10-31T23:59:00+08:00")
MINUTE_US = 60_000_000

FREE = Grant(
    id="welcome",
    model="*",
    meters=("input_tokens", "output_tokens"),
    size=30_000,
    from_us=OCTOBER_US,
    since="2026-10-31",
    shared=True,
)
DOCUMENTS = edition(
    contract(
        PriceRule(model="m", tariff=flat(input_tokens="2.5", output_tokens="10")),
        PriceRule(model="free", tariff=flat(input_tokens="0", output_tokens="0")),
    ),
    contract(
        PriceRule(
            model="*",
            tariff=tiered(
                "closed",
                (5000, rates(input_tokens="0.0028", output_tokens="0.42")),
                (None, rates(input_tokens="0.0026", output_tokens="0.4")),
                kind="graduated",
            ),
        ),
        name="bee-2026",
        customer="bee",
        currency="USD",
        grants=(FREE,),
    ),
    shares=(
        shares(
            CostRule(
                component="model", earner="lab", rates=rates(input_tokens="1", output_tokens="3")
            ),
            CostRule(component="compute", earner="farm", rates=rates(output_tokens="2.000001")),
        ),
        shares(
            CostRule(component="network", earner="net", rates=rates(output_tokens="1")),
            name="usd",
            currency="USD",
        ),
    ),
)
"""Two customers in two currencies, a model that is given away, sales below their cost, tokens that
are free at first and cheaper later."""


def calls(count: int, seed: int = 0, model: str = "m") -> list[UsageRecord]:
    """Calls around a month's end; the same seed gives the same calls."""
    chance = random.Random(seed)
    return [_call(chance, seed, place, model) for place in range(count)]


def _call(chance: random.Random, seed: int, place: int, model: str) -> UsageRecord:
    at_us = OCTOBER_US + chance.randrange(2 * MINUTE_US)
    bee = chance.random() < 0.3
    return UsageRecord(
        call_id=content_id(at_us, f"{seed} {place}".encode()),
        at_us=at_us,
        edition=1,
        customer="bee" if bee else "acme",
        contract="bee-2026" if bee else "acme-2026",
        key_id="",
        model="free" if chance.random() < 0.1 else model,
        deployment="d",
        outcome="completed",
        meters={"input_tokens": chance.randrange(9999), "output_tokens": chance.randrange(999)},
        sources={},
    )


def journal(root: Path, writer: str, *parts: Sequence[UsageRecord], blocks: bool = True) -> None:
    """Write records under a writer of their own, each part a block, or a frame a record."""
    with JournalWriter(
        root / "journal", writer, durability="process", clock=FixedClock()
    ) as opened:
        for part in parts:
            if blocks:
                opened.block(part)
            else:
                for record in part:
                    opened.record(record)


def told(root: Path, writer: str, *facts: Fact) -> None:
    """Write facts under a writer of their own."""
    with JournalWriter(
        root / "journal", writer, durability="process", clock=FixedClock()
    ) as opened:
        for fact in facts:
            opened.fact(fact)


class Sum(NamedTuple):
    """What was booked, whatever the batches: every line, and where the money is."""

    lines: str
    size: int
    nets: dict[Account, int]


def sum_of(engine: sa.Engine, lines: Path) -> Sum:
    with open_archive(engine, lines) as archive:
        numbers = [each.batch.number for each in archive.batches()]
        nets = {account: b.net_pico for account, b in archive.balances().items()}
    parts = [_plain(pq.read_table(parquet.path_of(lines, number))) for number in numbers]
    table = pa.concat_tables([_plain(SCHEMA.empty_table()), *parts])
    table = table.sort_by([(name, "ascending") for name in SCHEMA.names])
    digest = hashlib.sha256(repr(table.to_pydict()).encode()).hexdigest()
    return Sum(digest, table.num_rows, {a: net for a, net in nets.items() if net})


class Desk:
    """The books over a journal, in a folder; by default in SQLite."""

    def __init__(self, root: Path, url: str | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.lines = root / "lines"
        self.journal = root / "journal"
        self.engine = open_engine(url or sqlite_url(root / "steelyard.db"))
        self.record(DOCUMENTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.engine.dispose()

    def record(self, documents: Edition) -> int:
        return record_edition(self.engine, documents, 0)

    @property
    def books(self) -> Books:
        return Books(self.engine)

    def clerk(self, calls_max: int = 1000) -> Clerk:
        return Clerk(self.books, self.journal, self.lines, FixedClock(), calls_max)

    def clerk_with(self, books: Books) -> Clerk:
        """A clerk who has looked where these books stand, and then does nothing for a while."""
        return Clerk(books, self.journal, self.lines, FixedClock(), 1000)

    def book(self, calls_max: int = 1000) -> Outcome:
        return self.clerk(calls_max).drain(lambda _: None)

    def sum(self) -> Sum:
        return sum_of(self.engine, self.lines)

    def rows(self, table: sa.Table) -> list[sa.Row]:
        with reading(self.engine) as connection:
            return list(connection.execute(sa.select(table).order_by(*table.primary_key)))


def undisturbed(root: Path, parts: Iterable[Sequence[UsageRecord]]) -> Sum:
    """What one clerk books of these records in one batch."""
    journal(root, "one-1", *parts)
    with Desk(root) as desk:
        desk.book(10**6)
        assert len(desk.rows(tables.batches)) <= 1
        return desk.sum()


def altered(value: _Struct, **changes: object) -> _Struct:
    return msgspec.structs.replace(value, **changes)


def _plain(table: pa.Table) -> pa.Table:
    kinds = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in SCHEMA
    ]
    return table.select(SCHEMA.names).cast(pa.schema(kinds))
