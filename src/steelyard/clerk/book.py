"""Booking one batch: once, rated, written, and in the books by one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from steelyard.catalogue.documents import Edition
from steelyard.clerk import batch, dedupe, parquet
from steelyard.clerk.batch import Gathered
from steelyard.clerk.books import Booking, Books, Head, SetAside
from steelyard.clerk.dedupe import Sifted
from steelyard.ledger import chain, posting
from steelyard.ledger.chain import Batch
from steelyard.ledger.transfers import Transfer
from steelyard.rating import columnar
from steelyard.rating.counting import Counter, counts
from steelyard.rating.totals import totals
from steelyard.values import periods

Editions = Mapping[int, tuple[bytes, Edition]]
"""Recorded editions by number, each with its hash."""


class Rated(NamedTuple):
    """A batch's lines, its calls that have none, and what priced and counted the others."""

    table: pa.Table
    unrated: list[SetAside]
    editions: tuple[tuple[int, bytes], ...]
    counters: tuple[tuple[Counter, int], ...]


class Posted(NamedTuple):
    """What follows from a batch's lines: transfers, and the periods that the lines belong to."""

    transfers: tuple[Transfer, ...]
    periods: tuple[str, ...]


def book(books: Books, editions: Editions, journal: Path, lines: Path, gathered: Gathered) -> Batch:
    """Book what was gathered as the next batch.

    Journal and lines are brought to the disk meanwhile; both are there before the books are.
    Raises: BooksMovedError when something else was booked meanwhile; LedgerError.
    """
    head = books.head()
    number = head.batch + 1
    with ThreadPoolExecutor(max_workers=2) as aside:
        settled = aside.submit(batch.settle, journal, gathered.ranges)
        sifted = dedupe.sift(gathered.records, books.digests)
        rated = rate(sifted, editions, head.first_open, books.counters)
        written = aside.submit(parquet.write, lines, number, rated.table)
        posted = post(rated, editions, number)
        settled.result()
        booked = describe(head, gathered, sifted, rated, posted, written.result())
    books.book(
        Booking(
            follows=head,
            batch=booked,
            hash=chain.batch_hash(head.hash, booked, posted.transfers),
            transfers=posted.transfers,
            calls=sifted.calls,
            set_aside=[*sifted.conflicts, *rated.unrated],
        )
    )
    return booked


def rate(
    sifted: Sifted,
    editions: Editions,
    first_open: str | None,
    counters: Callable[[str | None], Mapping[Counter, int]],
) -> Rated:
    """Rate the calls of a batch; ``counters`` from a period on are only asked for when needed."""
    used = sorted({record.edition for record in sifted.records} & editions.keys())
    known = {number: editions[number][1] for number in used}
    opens = periods.month(first_open) if first_open else None
    before: Mapping[Counter, int] = {}
    if any(map(counts, known.values())):
        before = counters(first_open)
    found = columnar.rate(columnar.columns(sifted.records), known, opens, before)
    unrated = [dedupe.set_aside(sifted.records[each.row], each.reason) for each in found.unrated]
    return Rated(
        found.table,
        unrated,
        tuple((n, editions[n][0]) for n in used),
        tuple(sorted(found.counters.items())),
    )


def post(rated: Rated, editions: Editions, number: int) -> Posted:
    """Post the totals of a batch's lines.

    What is left of a sale goes to the operator of the newest edition that the batch was priced by.
    """
    found = totals(rated.table)
    if not found:
        return Posted((), ())
    newest, _ = rated.editions[-1]
    moved = posting.post(found, number, editions[newest][1].operator)
    return Posted(moved, tuple(sorted({total.period for total in found})))


def describe(
    head: Head,
    gathered: Gathered,
    sifted: Sifted,
    rated: Rated,
    posted: Posted,
    written: parquet.LineFile,
) -> Batch:
    """What the batch after ``head`` read and wrote, as the books keep it."""
    return Batch(
        number=head.batch + 1,
        first_open=head.first_open,
        ranges=gathered.ranges,
        editions=rated.editions,
        counters=rated.counters,
        calls=len(sifted.calls),
        unrated=len(rated.unrated),
        duplicates=sifted.duplicates,
        conflicts=len(sifted.conflicts),
        lines=rated.table.num_rows,
        periods=posted.periods,
        file_bytes=written.size,
        file_sha256=written.sha256,
    )
