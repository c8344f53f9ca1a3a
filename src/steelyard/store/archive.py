"""The archive: all that the books say, read in one moment for an audit."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from steelyard.clerk.archive import BookedBatch, BookedClosing
from steelyard.clerk.books import BookedFact, SetAside
from steelyard.clerk.issuing import Document
from steelyard.ledger.balances import Account, Balance
from steelyard.ledger.transfers import Transfer
from steelyard.rating.counting import Counter
from steelyard.rating.lines import LineSum
from steelyard.store import tables
from steelyard.store.batches import batches_of
from steelyard.store.books import (
    balances_of,
    calls_of,
    counters_of,
    facts_of,
    transfers_of,
)
from steelyard.store.closings import closing_of
from steelyard.store.documents import issued_by_correction
from steelyard.store.engines import reading
from steelyard.store.sums import call_sums_of, sums_of


@contextmanager
def open_archive(engine: sa.Engine, lines: Path) -> Generator[Archive]:
    """The books as they stand now, for as long as this lasts."""
    with reading(engine) as connection:
        yield Archive(connection, lines)


class Archive:
    """The books, as one transaction sees them."""

    def __init__(self, connection: sa.Connection, lines: Path) -> None:
        self._connection = connection
        self._lines = lines

    def editions(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Each edition: its number, its hash, its body."""
        table = tables.editions
        for row in self._connection.execute(sa.select(table).order_by(table.c.number)):
            yield row.number, row.sha256, row.body

    def batches(self) -> Iterator[BookedBatch]:
        """Each batch, in order."""
        yield from batches_of(self._connection)

    def closings(self) -> Sequence[BookedClosing]:
        """Each closing, in order."""
        table = tables.closings
        rows = self._connection.execute(sa.select(table).order_by(table.c.number)).all()
        return [BookedClosing(closing_of(self._connection, row), row.hash) for row in rows]

    def line_sums(self, period: str, batch: int) -> Sequence[LineSum]:
        """The sums of a period's lines in the batches up to one.

        Raises: LinesError.
        """
        return sums_of(self._connection, self._lines, period, batch)

    def call_sums(
        self, period: str, batch: int, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls in the batches up to one, between two instants.

        Raises: LinesError.
        """
        return call_sums_of(self._connection, self._lines, period, (from_us, until_us), batch)

    def transfers(self, batch: int) -> Sequence[Transfer]:
        """The transfers of a batch and of the closings after it, in order."""
        return transfers_of(self._connection, batch)

    def set_aside(self, batch: int) -> Sequence[SetAside]:
        """What a batch kept for inspection, in order."""
        table = tables.set_aside
        query = sa.select(table).where(table.c.batch == batch).order_by(table.c.sequence)
        return [
            SetAside(row.call_id, row.reason, row.record) for row in self._connection.execute(query)
        ]

    def facts(self, batch: int) -> Sequence[BookedFact]:
        """The facts that a batch booked, in order."""
        return facts_of(self._connection, batch)

    def documents(self, batch: int) -> Sequence[Document]:
        """The notes that a correction issued, with their content."""
        return issued_by_correction(self._connection, batch)

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that are booked."""
        return calls_of(self._connection, call_ids)

    def cursors(self) -> Mapping[str, int]:
        """How far each segment is booked."""
        rows = self._connection.execute(sa.select(tables.cursors))
        return {row.segment: row.offset for row in rows}

    def balances(self) -> Mapping[Account, Balance]:
        """The balance of each account."""
        return balances_of(self._connection)

    def counters(self) -> Mapping[Counter, int]:
        """What calls have left for the next."""
        return counters_of(self._connection)

    def counts(self) -> Mapping[str, int]:
        """How many rows each table of the books has."""
        booked = [
            table
            for table in tables.METADATA.sorted_tables
            if table not in tables.BESIDE_THE_BOOKS and table is not tables.editions
        ]
        return {
            table.name: self._connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in booked
        }
