"""Closing a period: one invoice a contract, one statement an earner, and the transfers of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from steelyard.ledger.transfers import Transfer
from steelyard.rating.lines import LineSum


class DocumentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A document in one format. ``path`` is from the studio's folder, with slashes."""

    path: str
    sha256: str
    content: bytes


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An issued invoice or statement. Unit: pico-units; exact = paid + remainder."""

    number: str
    kind: Literal["invoice", "statement"]
    party: str
    contract: str
    """Empty for a statement."""
    currency: str
    exact_pico: int
    paid_pico: int
    remainder_pico: int
    files: tuple[DocumentFile, ...]


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A closed period: its documents, byte for byte, and what was booked. Unit: µs since 1970."""

    period: str
    edition: int
    closed_at_us: int
    early: bool
    documents: tuple[Document, ...]
    transfers: tuple[Transfer, ...]


class Books(Protocol):
    """What a closing needs of the store."""

    def line_sums(self, period: str | None = None) -> Sequence[LineSum]:
        """The sums of a period's lines, or of all."""
        ...

    def open_periods(self) -> Sequence[str]:
        """The periods with booked lines that are not closed, oldest first."""
        ...

    def next_position(self) -> tuple[int, int]:
        """The last booked batch, and the first free sequence of a transfer in it."""
        ...

    def closing(self, period: str) -> Closing | None:
        """The closing of a period, with its documents' content; None while it is open."""
        ...

    def record_closing(self, closing: Closing) -> None:
        """Closing, documents, transfers and balances in one transaction.

        Afterwards each ``unbilled`` and ``earner/*`` account of the period, but ``payable``, is at
        zero; else nothing is recorded and it raises.
        """
        ...
