"""What an audit reads of the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from steelyard.clerk.books import BookedFact, SetAside
from steelyard.clerk.closing import Closing
from steelyard.clerk.issuing import Document, covered
from steelyard.ledger import chain
from steelyard.ledger.balances import Account, Balance
from steelyard.ledger.chain import Batch
from steelyard.ledger.transfers import Transfer
from steelyard.rating.counting import Counter
from steelyard.rating.lines import LineSum


class BookedBatch(msgspec.Struct, frozen=True):
    """A batch as the books have it. The hashes of its editions are those of the editions' table."""

    batch: Batch
    hash: bytes


class BookedClosing(msgspec.Struct, frozen=True):
    """A closing as the books have it."""

    closing: Closing
    hash: bytes


class Archive(Protocol):
    """What an audit reads of the store, in one moment of it."""

    def editions(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Each edition: its number, its hash, its body."""
        ...

    def batches(self) -> Iterator[BookedBatch]:
        """Each batch, in order."""
        ...

    def closings(self) -> Sequence[BookedClosing]:
        """Each closing, in order."""
        ...

    def line_sums(self, period: str, batch: int) -> Sequence[LineSum]:
        """The sums of a period's lines in the batches up to one."""
        ...

    def call_sums(
        self, period: str, batch: int, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls in the batches up to one, between two instants."""
        ...

    def transfers(self, batch: int) -> Sequence[Transfer]:
        """The transfers of a batch and of the closings after it, in order."""
        ...

    def set_aside(self, batch: int) -> Sequence[SetAside]:
        """What a batch kept for inspection, in order."""
        ...

    def facts(self, batch: int) -> Sequence[BookedFact]:
        """The facts that a batch booked, in order."""
        ...

    def documents(self, batch: int) -> Sequence[Document]:
        """The notes that a correction issued, with their content."""
        ...

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that are booked."""
        ...

    def cursors(self) -> Mapping[str, int]:
        """How far each segment is booked."""
        ...

    def balances(self) -> Mapping[Account, Balance]:
        """The balance of each account."""
        ...

    def counters(self) -> Mapping[Counter, int]:
        """What calls have left for the next."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many rows each table has."""
        ...


def chained(closing: Closing) -> chain.Closing:
    """What the chain covers of a closing."""
    return chain.Closing(
        period=closing.period,
        batch=closing.batch,
        edition=closing.edition,
        closed_at_us=closing.closed_at_us,
        early=closing.early,
        documents=tuple(map(covered, closing.documents)),
    )
