"""Closing a period: one invoice a contract, one statement an earner, and the transfers of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from steelyard.billing.invoice import invoices
from steelyard.catalogue.documents import Edition
from steelyard.clerk.books import BooksMovedError
from steelyard.clerk.issuing import (
    Document,
    invoice_document,
    invoice_moves,
    numbered,
    rounding,
    statement_document,
    statement_moves,
)
from steelyard.ledger.transfers import Transfer
from steelyard.rating.lines import LineSum
from steelyard.settlement.statement import statements
from steelyard.values import periods

ATTEMPTS_MAX = 5
"""How often a closing is drawn up again when the books moved on under it."""


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A closed period: its documents, byte for byte, and what was booked. Unit: µs since 1970.

    ``batch`` is the last one that was booked before.
    """

    period: str
    batch: int
    edition: int
    closed_at_us: int
    early: bool
    documents: tuple[Document, ...]
    transfers: tuple[Transfer, ...]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a period is not closed, and what to do."""

    code: Literal["period_not_ended", "earlier_period_open", "period_is_empty"]
    sentence: str


class Books(Protocol):
    """What a closing needs of the store."""

    def line_sums(self, period: str | None = None) -> Sequence[LineSum]:
        """The sums of a period's lines, or of all."""
        ...

    def open_periods(self) -> Sequence[str]:
        """The periods with booked lines that are not closed, oldest first."""
        ...

    def booked_since(self, period: str, batch: int) -> bool:
        """Whether lines of a period were booked after a batch."""
        ...

    def next_position(self) -> tuple[int, int]:
        """The last booked batch, and the first free sequence of a transfer in it."""
        ...

    def closing(self, period: str) -> Closing | None:
        """The closing of a period, with its documents' content; None while it is open."""
        ...

    def record_closing(self, closing: Closing) -> None:
        """Closing, documents, transfers and balances in one transaction.

        Raises: BooksMovedError when ``closing.batch`` is not the last batch any more, or the period
        was closed meanwhile.
        """
        ...


def close(
    books: Books,
    number: int,
    edition: Edition,
    period: periods.Month,
    now_us: int,
    *,
    early: bool = False,
    charge: Callable[[], int] | None = None,
) -> Closing | Refused:
    """Close a period; one that is closed already is returned as it was closed.

    ``charge`` books what is charged by the period, and says by which batch; it is done again when
    something of the period was booked after that. Without it nothing is charged so.

    ``edition`` is the current one, ``number`` its number. Writing the documents' files is left to
    ``publishing.publish``, which can be done again at any time.

    Raises: BooksMovedError when other processes keep booking.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        closed = books.closing(str(period))
        if closed is not None:
            return closed
        open_periods = books.open_periods()
        may_be = open_periods if charge is None else [*open_periods, str(period)]
        refused = refusal(edition, period, now_us, may_be, early=early)
        if refused is not None:
            return refused
        charged = None if charge is None else charge()
        position = books.next_position()
        if charged is not None and books.booked_since(str(period), charged):
            continue
        refused = refusal(edition, period, now_us, books.open_periods(), early=early)
        if refused is not None:
            return refused
        sums = books.line_sums(str(period))
        closing = draw_up(sums, number, edition, period, now_us, position)
        try:
            books.record_closing(closing)
        except BooksMovedError:
            if attempt == ATTEMPTS_MAX:
                raise
            continue
        return closing
    msg = f"{period} is still being booked; close it when its calls have come in"
    raise BooksMovedError(msg)


def refusal(
    edition: Edition,
    period: periods.Month,
    now_us: int,
    open_periods: Sequence[str],
    *,
    early: bool = False,
) -> Refused | None:
    """Why a period can't be closed now; None when it can."""
    before = [each for each in open_periods if each < str(period)]
    if before:
        listed = ", ".join(before)
        return Refused(
            code="earlier_period_open",
            sentence=f"{listed} is not closed yet: close {before[0]} first",
        )
    zones = sorted({edition.zone, *(each.zone for each in edition.contracts)})
    late = [zone for zone in zones if periods.bounds_us(period, zone)[1] > now_us]
    if late and not early:
        return Refused(
            code="period_not_ended",
            sentence=f"{period} has not ended yet in {', '.join(late)}: wait, or close it "
            "with --early; calls that come after that go into the next period",
        )
    if str(period) not in open_periods:
        return Refused(
            code="period_is_empty",
            sentence=f"nothing is booked in {period} that could be closed",
        )
    return None


def draw_up(
    sums: Sequence[LineSum],
    number: int,
    edition: Edition,
    period: periods.Month,
    closed_at_us: int,
    position: tuple[int, int],
) -> Closing:
    """The closing of a period: a pure function of what is booked, the documents and the time.

    ``position`` is the last booked batch and the first free sequence in it.
    """
    issued = invoices(sums, edition, period, closed_at_us)
    owed = statements(sums, edition, period, closed_at_us, [rounding(each) for each in issued])
    batch, sequence = position
    zones = {edition.zone, *(each.zone for each in issued)}
    return Closing(
        period=str(period),
        batch=batch,
        edition=number,
        closed_at_us=closed_at_us,
        early=any(periods.bounds_us(period, zone)[1] > closed_at_us for zone in zones),
        documents=(
            *(invoice_document(each) for each in issued),
            *(statement_document(each) for each in owed),
        ),
        transfers=tuple(
            numbered(
                (*invoice_moves(issued, str(period)), *statement_moves(owed, str(period))),
                batch,
                sequence,
            )
        ),
    )
