"""Booking one batch: once, rated, written, and in the books by one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from steelyard.catalogue.documents import Edition
from steelyard.clerk import dedupe, parquet
from steelyard.clerk.batch import Gathered
from steelyard.clerk.books import Booking, Books, Head, SetAside
from steelyard.clerk.dedupe import Sifted
from steelyard.ledger import chain, posting
from steelyard.ledger.chain import Batch
from steelyard.ledger.transfers import Transfer
from steelyard.rating import columnar
from steelyard.rating.totals import totals
from steelyard.values import periods

Editions = Mapping[int, tuple[bytes, Edition]]
"""Recorded editions by number, each with its hash."""


class Priced(NamedTuple):
    """A batch's lines and what follows from them."""

    table: pa.Table
    unrated: list[SetAside]
    transfers: tuple[Transfer, ...]
    periods: tuple[str, ...]
    editions: tuple[tuple[int, bytes], ...]


def book(books: Books, editions: Editions, lines: Path, gathered: Gathered) -> Batch:
    """Book what was gathered as the next batch.

    Raises: BooksMovedError when something else was booked meanwhile; LedgerError.
    """
    head = books.head()
    number = head.batch + 1
    sifted = dedupe.sift(gathered.records, books.digests)
    priced = price(sifted, editions, head.first_open, number)
    written = parquet.write(lines, number, priced.table)
    batch = describe(number, head.first_open, gathered, sifted, priced, written)
    books.book(booking(head, batch, sifted, priced))
    return batch


def price(sifted: Sifted, editions: Editions, first_open: str | None, number: int) -> Priced:
    """Rate the calls of a batch and post their totals.

    What is left of a sale goes to the operator of the newest edition that the batch was priced by.
    """
    used = sorted({record.edition for record in sifted.records} & editions.keys())
    opens = periods.month(first_open) if first_open else None
    rated = columnar.rate(
        columnar.columns(sifted.records), {n: editions[n][1] for n in used}, opens
    )
    unrated = [dedupe.set_aside(sifted.records[each.row], each.reason) for each in rated.unrated]
    found = totals(rated.table)
    moved = posting.post(found, number, editions[used[-1]][1].operator) if found else ()
    return Priced(
        table=rated.table,
        unrated=unrated,
        transfers=moved,
        periods=tuple(sorted({total.period for total in found})),
        editions=tuple((n, editions[n][0]) for n in used),
    )


def describe(
    number: int,
    first_open: str | None,
    gathered: Gathered,
    sifted: Sifted,
    priced: Priced,
    written: parquet.LineFile,
) -> Batch:
    """What a batch read and wrote, as the books keep it."""
    return Batch(
        number=number,
        first_open=first_open,
        ranges=gathered.ranges,
        editions=priced.editions,
        calls=len(sifted.calls),
        unrated=len(priced.unrated),
        duplicates=sifted.duplicates,
        conflicts=len(sifted.conflicts),
        lines=priced.table.num_rows,
        periods=priced.periods,
        file_bytes=written.size,
        file_sha256=written.sha256,
    )


def booking(head: Head, batch: Batch, sifted: Sifted, priced: Priced) -> Booking:
    """A batch, chained to what was booked before it."""
    return Booking(
        follows=head,
        batch=batch,
        hash=chain.batch_hash(head.hash, batch, priced.transfers),
        transfers=priced.transfers,
        calls=sifted.calls,
        set_aside=[*sifted.conflicts, *priced.unrated],
    )
