"""Rebuilt: the books as an audit has made them again, up to the batch that it looks at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from steelyard.clerk import batch as journal
from steelyard.clerk import parquet
from steelyard.clerk.archive import Archive
from steelyard.clerk.batch import Gathered
from steelyard.clerk.books import BookedFact, Head, Issued
from steelyard.clerk.difference import differ
from steelyard.clerk.drawn import Editions
from steelyard.ledger import chain
from steelyard.ledger.balances import Account, Balance
from steelyard.ledger.chain import Batch, Range
from steelyard.metering.segments import DamageError
from steelyard.rating import counting
from steelyard.rating.lines import LineSum
from steelyard.values import periods


class Rebuilt(msgspec.Struct):
    """The books as they are made again, up to some entry."""

    hash: bytes = chain.GENESIS
    batch: int = 0
    batches: list[Batch] = []
    closed: str | None = None
    closed_by: dict[str, int] = {}
    cursors: dict[str, int] = {}
    balances: dict[Account, Balance] = {}
    counters: dict[counting.Counter, int] = {}
    facts: list[BookedFact] = []
    issued: list[Issued] = []
    rows: Counter[str] = msgspec.field(default_factory=Counter[str])
    sums: Counter[str] = msgspec.field(default_factory=Counter[str])
    money: defaultdict[str, Counter[str]] = msgspec.field(
        default_factory=lambda: defaultdict(Counter)
    )


class Before:
    """The books as the audit has made them again, up to the batch that is to be drawn up."""

    def __init__(
        self,
        archive: Archive,
        rebuilt: Rebuilt,
        editions: Editions,
        journal_root: Path,
        lines: Path,
    ) -> None:
        self._lines = lines
        self._archive = archive
        self._rebuilt = rebuilt
        self._editions = editions
        self._journal = journal_root
        self.booked: dict[bytes, tuple[bytes, int]] = {}
        """The digest and the batch that the books have of each call that was asked for."""

    def head(self) -> Head:
        """Where the books stood."""
        closed = self._rebuilt.closed
        first_open = str(periods.following(periods.month(closed))) if closed else None
        return Head(batch=self._rebuilt.batch, hash=self._rebuilt.hash, first_open=first_open)

    def digests(self, call_ids: Collection[bytes]) -> Mapping[bytes, bytes]:
        """Those calls were booked before that an earlier batch has."""
        self.booked |= self._archive.calls(call_ids)
        number = self._rebuilt.batch + 1
        return {
            call_id: digest for call_id, (digest, batch) in self.booked.items() if batch < number
        }

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that were booked."""
        found = self._archive.calls(call_ids)
        return {call: row for call, row in found.items() if row[1] <= self._rebuilt.batch}

    def batches(self) -> Sequence[Batch]:
        """Each batch that was booked, in order."""
        return self._rebuilt.batches

    def issued(self) -> Sequence[Issued]:
        """All documents that were issued."""
        return self._rebuilt.issued

    def lines(self, batch: int) -> pa.Table:
        """The lines of a batch that was booked; they were compared."""
        return parquet.read(self._lines, batch)

    def call_sums(
        self, period: str, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls."""
        return self._archive.call_sums(period, self._rebuilt.batch, from_us, until_us)

    def closed(self) -> Mapping[str, int]:
        """The closed periods, each with the number of the edition that closed it."""
        return self._rebuilt.closed_by

    def counters(self, first_open: str | None) -> Mapping[counting.Counter, int]:
        """What calls have left for the next."""
        del first_open
        return self._rebuilt.counters

    def editions(self, numbers: Iterable[int]) -> Editions:
        """The recorded editions among these numbers."""
        return {n: self._editions[n] for n in set(numbers) & self._editions.keys()}

    def facts(self) -> Sequence[BookedFact]:
        """All facts that were booked, in that order."""
        return self._rebuilt.facts

    def read(self, ranges: Sequence[Range]) -> Gathered:
        """What the journal holds in ranges. Raises: DifferenceError where it is damaged."""
        try:
            return journal.reread(self._journal, tuple(ranges))
        except DamageError as exc:
            segment = exc.damage.path.relative_to(self._journal).as_posix()
            place = f"ranges, batch {self._rebuilt.batch + 1}, segment {segment}"
            differ(place, f"at byte {exc.damage.offset}, {exc.damage.reason}")
