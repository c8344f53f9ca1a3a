"""Booking one batch: its lines written, and then all of it in the books by one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from steelyard.catalogue.documents import Edition
from steelyard.clerk import batch, corrected, parquet, periodic, rated
from steelyard.clerk.batch import Gathered
from steelyard.clerk.books import BookedFact, Booking, Books, Head, Issued, SetAside
from steelyard.clerk.drawn import Drawn, Editions, describe, post
from steelyard.ledger import chain
from steelyard.ledger.chain import Batch, Range
from steelyard.rating.counting import Counter
from steelyard.rating.lines import LineSum


class Standing:
    """The books as they stand now, for drawing up the batch that follows ``head``.

    Editions are read once: they never change.
    """

    def __init__(self, books: Books, journal: Path, lines: Path) -> None:
        self._books = books
        self._lines = lines
        self._journal = journal
        self._editions: dict[int, tuple[bytes, Edition]] = {}
        self._head = books.head()

    def renew(self) -> None:
        """Look again where the books stand."""
        self._head = self._books.head()

    def head(self) -> Head:
        """Where the books stood at the last look."""
        return self._head

    def digests(self, call_ids: Collection[bytes]) -> Mapping[bytes, bytes]:
        """The digests of those of the calls that are booked."""
        return self._books.digests(call_ids)

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that are booked."""
        return self._books.calls(call_ids)

    def batches(self) -> Sequence[Batch]:
        """Each batch that was booked, in order."""
        return self._books.batches()

    def set_aside(self) -> Sequence[tuple[int, SetAside]]:
        """All that was set aside, each with its batch, in order."""
        return self._books.all_set_aside()

    def issued(self) -> Sequence[Issued]:
        """All documents that were issued."""
        return self._books.issued()

    def lines(self, batch: int) -> pa.Table:
        """The lines of a batch that was booked. Raises: OSError."""
        return parquet.read(self._lines, batch)

    def call_sums(
        self, period: str, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls, from one instant to another."""
        return self._books.call_sums(self._lines, period, from_us, until_us)

    def closed(self) -> Mapping[str, int]:
        """The closed periods, each with the number of its edition."""
        return self._books.closed()

    def counters(self, first_open: str | None) -> Mapping[Counter, int]:
        """What calls have left for the next: what is of no period, or of an open one."""
        return self._books.counters(first_open)

    def editions(self, numbers: Iterable[int]) -> Editions:
        """The recorded editions among these numbers."""
        wanted = set(numbers)
        if unknown := wanted - self._editions.keys():
            self._editions |= self._books.editions(unknown)
        return {number: self._editions[number] for number in wanted & self._editions.keys()}

    def facts(self) -> Sequence[BookedFact]:
        """All facts that were booked, in that order."""
        return self._books.facts()

    def read(self, ranges: Sequence[Range]) -> Gathered:
        """What the journal holds in ranges that were booked. Raises: DamageError."""
        return batch.reread(self._journal, tuple(ranges))


def book_calls(
    books: Books, before: Standing, journal: Path, lines: Path, gathered: Gathered
) -> Batch:
    """Book what was gathered as the next batch; the journal is brought to the disk meanwhile.

    Raises: BooksMovedError when something else was booked meanwhile; LedgerError.
    """
    with ThreadPoolExecutor(max_workers=1) as aside:
        settled = aside.submit(batch.settle, journal, gathered.ranges)
        before.renew()
        return book(books, before.head(), lines, rated.draw(before, gathered), settled.result)


def book_correction(books: Books, before: Standing, lines: Path) -> Batch | None:
    """Carry out the corrections that were ordered, as the next batch; None when none wait.

    Raises: as ``book_calls`` does.
    """
    before.renew()
    ordered = corrected.pending(before)
    if not ordered:
        return None
    return book(books, before.head(), lines, corrected.draw(before, ordered))


def book_dues(books: Books, before: Standing, lines: Path) -> Batch | None:
    """Charge what was ordered to be charged, as the next batch; None when no order waits.

    Raises: as ``book_calls`` does.
    """
    before.renew()
    ordered = periodic.pending(before)
    if not ordered:
        return None
    return book(books, before.head(), lines, periodic.draw(before, ordered))


def book(
    books: Books,
    head: Head,
    lines: Path,
    drawn: Drawn,
    ready: Callable[[], object] = lambda: None,
) -> Batch:
    """Book a batch of any kind after ``head``: its lines are on the disk before the books are.

    ``ready`` waits for what else must be there before. Raises: as ``book_calls`` does.
    """
    number = head.batch + 1
    with ThreadPoolExecutor(max_workers=1) as aside:
        written = aside.submit(parquet.write, lines, number, drawn.table)
        posted = post(drawn, number)
        ready()
        booked = describe(drawn, head, posted, written.result())
    books.book(
        Booking(
            follows=head,
            batch=booked,
            hash=chain.batch_hash(head.hash, booked, posted.transfers),
            transfers=posted.transfers,
            calls=drawn.calls,
            set_aside=drawn.set_aside,
            facts=drawn.facts,
            documents=drawn.documents,
        )
    )
    return booked
