"""What the clerk needs of the store, and the values that it hands over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from steelyard.catalogue.documents import Edition
from steelyard.clerk.issuing import Document
from steelyard.ledger.chain import Batch
from steelyard.ledger.transfers import Transfer
from steelyard.rating.counting import Counter
from steelyard.rating.lines import LineSum
from steelyard.values.facts import Fact

CallDigest = tuple[bytes, bytes]
"""A call's id, and a hash of what its record says."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the books stand: the last batch and the hash of the last entry.

    ``first_open`` is the period after the closed ones; None: nothing was closed.
    """

    batch: int
    hash: bytes
    first_open: str | None


class SetAside(msgspec.Struct, frozen=True):
    """A record that was read and has no lines, kept for inspection: ``record`` is its msgpack.

    ``reason`` is ``conflict`` (its call is booked with other content) or why it has no price.
    """

    call_id: bytes
    reason: str
    record: bytes


class BookedFact(msgspec.Struct, frozen=True):
    """A fact, and the batch that booked it."""

    batch: int
    fact: Fact


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was issued, by a closing or on a note's behalf."""

    number: str
    kind: str
    period: str
    contract: str
    currency: str


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """One batch, ready to be booked after the entry ``follows``."""

    follows: Head
    batch: Batch
    hash: bytes
    transfers: tuple[Transfer, ...]
    calls: Sequence[CallDigest]
    set_aside: Sequence[SetAside]
    facts: Sequence[Fact] = ()
    documents: Sequence[Document] = ()


class BooksMovedError(RuntimeError):
    """Something else was booked in between; whoever gets this reads the head and does it again."""

    code = "books_moved"


class Books(Protocol):
    """Where batches are booked, by one clerk at a time."""

    def head(self) -> Head:
        """Where the books stand."""
        ...

    def cursors(self) -> dict[str, int]:
        """How far each segment is booked. Unit: bytes."""
        ...

    def digests(self, call_ids: Collection[bytes]) -> dict[bytes, bytes]:
        """The digests of those of the calls that are booked."""
        ...

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that are booked."""
        ...

    def batches(self) -> Sequence[Batch]:
        """Each batch that was booked, in order."""
        ...

    def call_sums(
        self, lines: Path, period: str, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls, corrections among them, in a folder of lines.

        Of calls that began between two instants; None: without such a bound.
        """
        ...

    def closed(self) -> Mapping[str, int]:
        """The closed periods, each with the number of the edition that closed it."""
        ...

    def all_set_aside(self) -> Sequence[tuple[int, SetAside]]:
        """All that was set aside, each with its batch, in order."""
        ...

    def issued(self) -> Sequence[Issued]:
        """All documents that were issued."""
        ...

    def notes(self, batch: int) -> Sequence[Document]:
        """The documents that a correction issued, with their content."""
        ...

    def counters(self, first_open: str | None) -> Mapping[Counter, int]:
        """What calls have left for the next: what is of no period, or of an open one."""
        ...

    def facts(self) -> Sequence[BookedFact]:
        """All facts that were booked, in that order."""
        ...

    def editions(self, numbers: Iterable[int]) -> Mapping[int, tuple[bytes, Edition]]:
        """The recorded editions among these numbers, each with its hash."""
        ...

    def book(self, booking: Booking) -> None:
        """Book a batch: all of it in one transaction, or nothing.

        Raises: BooksMovedError; LedgerError when a rule of the ledger does not hold.
        """
        ...
