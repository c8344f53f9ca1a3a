"""Closings: the sums they are drawn up from, and their documents and transfers once recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from steelyard.clerk.archive import chained
from steelyard.clerk.books import BooksMovedError
from steelyard.clerk.closing import Closing
from steelyard.ledger import chain
from steelyard.rating.lines import LineSum
from steelyard.store import tables
from steelyard.store.books import book_transfers, head, transfers_of
from steelyard.store.documents import check_settled, insert_documents, issued_by_closing
from steelyard.store.engines import reading, writing
from steelyard.store.sums import sums_of


class Closings:
    """The closings in a database, over the line files in a folder."""

    def __init__(self, engine: sa.Engine, lines: Path) -> None:
        self._engine = engine
        self._lines = lines

    def line_sums(self, period: str | None = None) -> Sequence[LineSum]:
        """The sums of a period's lines, or of all.

        Raises: LinesError.
        """
        with reading(self._engine) as connection:
            return sums_of(connection, self._lines, period)

    def open_periods(self) -> Sequence[str]:
        """The periods with booked lines that are not closed, oldest first."""
        period = tables.batch_periods.c.period
        closed = sa.select(tables.closings.c.period)
        with reading(self._engine) as connection:
            query = sa.select(period).distinct().where(period.not_in(closed)).order_by(period)
            return connection.scalars(query).all()

    def booked_since(self, period: str, batch: int) -> bool:
        """Whether lines of a period were booked after a batch."""
        table = tables.batch_periods.c
        query = sa.select(sa.exists().where(table.period == period, table.batch > batch))
        with reading(self._engine) as connection:
            return bool(connection.scalar(query))

    def next_position(self) -> tuple[int, int]:
        """The last booked batch, and the first free sequence of a transfer in it."""
        with reading(self._engine) as connection:
            batch = head(connection).batch
            return batch, _last_sequence(connection, batch) + 1

    def closing(self, period: str) -> Closing | None:
        """The closing of a period, with its documents' content; None while it is open."""
        table = tables.closings
        with reading(self._engine) as connection:
            found = connection.execute(sa.select(table).where(table.c.period == period)).first()
            return None if found is None else closing_of(connection, found)

    def record_closing(self, closing: Closing) -> None:
        """Record a closing in one transaction.

        Raises: BooksMovedError when its batch is not the last any more, or the period was closed
        meanwhile; LedgerError when it leaves something of the period unbilled or without statement.
        """
        with writing(self._engine) as connection:
            found = head(connection)
            last = _last_sequence(connection, found.batch)
            table = tables.closings
            closed = sa.select(sa.exists().where(table.c.period == closing.period))
            moved = closing.transfers
            here = [(found.batch, last + place) for place in range(1, len(moved) + 1)]
            if (
                connection.scalar(closed)
                or closing.batch != found.batch
                or [(each.batch, each.sequence) for each in moved] != here
            ):
                msg = f"the books moved on while {closing.period} was being closed"
                raise BooksMovedError(msg)
            book_transfers(connection, moved)
            check_settled(connection, closing.period)
            insert_documents(connection, closing.documents)
            number = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            row = {
                "number": number + 1,
                "period": closing.period,
                "batch": closing.batch,
                "edition": closing.edition,
                "closed_at_us": closing.closed_at_us,
                "early": closing.early,
                "first_sequence": last + 1,
                "last_sequence": last + len(moved),
                "hash": chain.closing_hash(found.hash, chained(closing), moved),
            }
            connection.execute(sa.insert(table), row)


def _last_sequence(connection: sa.Connection, batch: int) -> int:
    table = tables.transfers.c
    query = sa.select(sa.func.max(table.sequence)).where(table.batch == batch)
    return connection.scalar(query) or 0


def closing_of(connection: sa.Connection, found: sa.Row[Any]) -> Closing:
    """The closing of a row, with its transfers and its documents' content."""
    moved = transfers_of(connection, found.batch, found.first_sequence, found.last_sequence)
    return Closing(
        period=found.period,
        batch=found.batch,
        edition=found.edition,
        closed_at_us=found.closed_at_us,
        early=found.early,
        documents=issued_by_closing(connection, found.period),
        transfers=moved,
    )
