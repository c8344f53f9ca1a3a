"""The chain: each entry's hash covers what it booked and the hash of the entry before.

A row that was altered afterwards no longer gives the hash that its entry recorded, so it is found
in the entry that booked it. The hashed text is one JSON value a line, so that anyone can make it
again; amounts are decimal strings, hashes hexadecimal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from steelyard.ledger.transfers import Transfer

GENESIS = bytes(32)
"""What the first entry's hash follows."""


class Range(msgspec.Struct, frozen=True, order=True):
    """A part of a journal segment. Unit: bytes from the segment's start, half-open."""

    segment: str
    start: int
    end: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What was issued: its totals, and the path and hash of each of its files."""

    number: str
    kind: str
    party: str
    contract: str
    currency: str
    exact_pico: int
    paid_pico: int
    files: tuple[tuple[str, str], ...]


Kind = Literal["calls", "period", "correction"]
"""What a batch books: calls that the journal weighed; what is charged by the period and not by the
call; the difference between what was booked and what is right. Each is drawn up by a line of
``clerk.kinds.AGAIN``."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one batch read and wrote.

    ``made_from`` is what a batch of another kind than ``calls`` was told, as JSON: with the books
    before it, it gives the same batch again. Calls are made from ``ranges`` alone. ``documents``
    are the notes by which a correction corrects what was issued of closed periods.
    ``editions`` are the numbers and hashes of the documents that it was priced by, rising.
    ``first_open`` is the period into which calls of closed ones went; None: nothing was closed.
    ``calls`` were booked, ``unrated`` of them without a price; ``duplicates`` were booked before;
    ``conflicts`` have the id of a booked call and say something else. ``counters`` are those that
    its calls changed, and where they stand after it; their names are the rating's.
    """

    number: int
    first_open: str | None
    ranges: tuple[Range, ...]
    editions: tuple[tuple[int, bytes], ...]
    calls: int
    unrated: int
    duplicates: int
    conflicts: int
    lines: int
    periods: tuple[str, ...]
    file_bytes: int
    file_sha256: bytes
    counters: tuple[tuple[tuple[str, ...], int], ...] = ()
    kind: Kind = "calls"
    made_from: str = ""
    documents: tuple[Document, ...] = ()


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A period that was closed after batch ``batch``, and what was issued."""

    period: str
    batch: int
    edition: int
    closed_at_us: int
    early: bool
    documents: tuple[Document, ...]


def batch_hash(previous: bytes, batch: Batch, transfers: Iterable[Transfer]) -> bytes:
    """The hash of a batch that follows the entry whose hash is ``previous``."""
    head = [
        "batch",
        batch.number,
        batch.first_open,
        batch.calls,
        batch.unrated,
        batch.duplicates,
        batch.conflicts,
        batch.lines,
        batch.periods,
        batch.file_bytes,
        batch.file_sha256.hex(),
    ]
    if (batch.kind, batch.made_from) != ("calls", ""):
        head += [batch.kind, batch.made_from]
    ranges = [["range", each.segment, each.start, each.end] for each in batch.ranges]
    editions = [["edition", number, sha256.hex()] for number, sha256 in batch.editions]
    counters = [["counter", *key, str(value)] for key, value in batch.counters]
    documents = [_document(each) for each in batch.documents]
    rows = [*ranges, *editions, *counters, *documents]
    return _hash(previous, [head, *rows], transfers)


def closing_hash(previous: bytes, closing: Closing, transfers: Iterable[Transfer]) -> bytes:
    """The hash of a closing that follows the entry whose hash is ``previous``."""
    head = [
        "closing",
        closing.period,
        closing.batch,
        closing.edition,
        closing.closed_at_us,
        closing.early,
    ]
    documents = [_document(each) for each in closing.documents]
    return _hash(previous, [head, *documents], transfers)


def _document(each: Document) -> list[object]:
    return [
        "document",
        each.number,
        each.kind,
        each.party,
        each.contract,
        each.currency,
        str(each.exact_pico),
        str(each.paid_pico),
        *each.files,
    ]


def _hash(previous: bytes, rows: Sequence[object], transfers: Iterable[Transfer]) -> bytes:
    moved = [
        [
            "transfer",
            each.batch,
            each.sequence,
            each.debit,
            each.credit,
            str(each.amount_pico),
            each.currency,
            each.code,
            each.period,
            each.state,
        ]
        for each in transfers
    ]
    text = b"\n".join(map(msgspec.json.encode, [previous.hex(), *rows, *moved]))
    return hashlib.sha256(text).digest()
