"""Drawn: a batch before it is booked, of whatever kind, and what any kind may know of the books.

To draw a batch up is a function of the books as they stood (``Before``) and of what it is made
from. So the audit can do it again from the books that it has rebuilt, and must get the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from steelyard.catalogue.documents import Edition
from steelyard.clerk import parquet
from steelyard.clerk.batch import Gathered
from steelyard.clerk.books import BookedFact, CallDigest, Head, Issued, SetAside
from steelyard.clerk.dedupe import FACT_CONFLICT
from steelyard.clerk.issuing import Document, Move, covered, numbered
from steelyard.governance import funding
from steelyard.ledger import posting
from steelyard.ledger.chain import Batch, Kind, Range
from steelyard.ledger.transfers import Transfer
from steelyard.rating.counting import Counter
from steelyard.rating.lines import LineSum
from steelyard.rating.totals import totals
from steelyard.values.facts import Fact

Editions = Mapping[int, tuple[bytes, Edition]]
"""Recorded editions by number, each with its hash."""


class Before(Protocol):
    """The books as they stood before a batch: the store's, or those that an audit has rebuilt."""

    def head(self) -> Head:
        """Where the books stand."""
        ...

    def digests(self, call_ids: Collection[bytes]) -> Mapping[bytes, bytes]:
        """The digests of those of the calls that are booked."""
        ...

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that are booked."""
        ...

    def batches(self) -> Sequence[Batch]:
        """Each batch that was booked, in order."""
        ...

    def issued(self) -> Sequence[Issued]:
        """All documents that were issued."""
        ...

    def lines(self, batch: int) -> pa.Table:
        """The lines of a batch that was booked."""
        ...

    def call_sums(
        self, period: str, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls, corrections among them, all that were booked.

        Of calls that began between two instants; None: without such a bound.
        """
        ...

    def closed(self) -> Mapping[str, int]:
        """The closed periods, each with the number of the edition that closed it."""
        ...

    def counters(self, first_open: str | None) -> Mapping[Counter, int]:
        """What calls have left for the next: what is of no period, or of an open one."""
        ...

    def editions(self, numbers: Iterable[int]) -> Editions:
        """The recorded editions among these numbers."""
        ...

    def read(self, ranges: Sequence[Range]) -> Gathered:
        """What the journal holds in ranges that were booked."""
        ...

    def facts(self) -> Sequence[BookedFact]:
        """All facts that were booked, in that order."""
        ...


class Drawn(NamedTuple):
    """All that a batch says, but for its number and its file.

    ``editions`` are those whose documents priced its lines, rising; whoever is the operator in the
    last of them gets what is left of each sale. ``set_aside`` is in the order in which it is kept.
    """

    kind: Kind
    made_from: str
    table: pa.Table
    editions: tuple[tuple[int, bytes], ...]
    operator: str
    counters: tuple[tuple[Counter, int], ...] = ()
    ranges: tuple[Range, ...] = ()
    calls: Sequence[CallDigest] = ()
    duplicates: int = 0
    set_aside: Sequence[SetAside] = ()
    facts: Sequence[Fact] = ()
    documents: tuple[Document, ...] = ()
    moves: Sequence[Move] = ()
    """What the documents move in the ledger, after what the lines do."""


class Posted(NamedTuple):
    """What follows from a batch's lines: transfers, and the periods that the lines belong to."""

    transfers: tuple[Transfer, ...]
    periods: tuple[str, ...]


def post(drawn: Drawn, number: int) -> Posted:
    """Post the totals of a batch's lines, and what its facts say was paid in."""
    found = totals(drawn.table)
    moved = posting.post(found, number, drawn.operator)
    moved = (*moved, *numbered(drawn.moves, number, len(moved) + 1))
    receipts = filter(None, map(funding.receipt_of, drawn.facts))
    moved += posting.receive(receipts, number, len(moved) + 1)
    return Posted(moved, tuple(sorted({total.period for total in found})))


def describe(drawn: Drawn, head: Head, posted: Posted, written: parquet.LineFile) -> Batch:
    """What the batch after ``head`` read and wrote, as the books keep it."""
    conflicts = sum(each.reason == "conflict" for each in drawn.set_aside)
    of_facts = sum(each.reason == FACT_CONFLICT for each in drawn.set_aside)
    return Batch(
        number=head.batch + 1,
        kind=drawn.kind,
        made_from=drawn.made_from,
        first_open=head.first_open,
        ranges=drawn.ranges,
        editions=drawn.editions,
        counters=drawn.counters,
        calls=len(drawn.calls),
        unrated=len(drawn.set_aside) - conflicts - of_facts,
        duplicates=drawn.duplicates,
        conflicts=conflicts,
        lines=drawn.table.num_rows,
        periods=posted.periods,
        file_bytes=written.size,
        file_sha256=written.sha256,
        documents=tuple(map(covered, drawn.documents)),
    )
