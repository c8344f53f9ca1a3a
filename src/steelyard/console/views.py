"""Views: what pages show, as texts; the same is given as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from steelyard.governance.keys import Key


class AwayError(Exception):
    """What a page shows can't be read now; the text says why."""

    code = "console_away"


class Amount(Struct, frozen=True):
    """An exact decimal text, and its currency."""

    amount: str
    currency: str


class Books(Struct, frozen=True, kw_only=True):
    """Where the books stand. ``hash`` is that of the last entry, in hex."""

    batch: int
    hash: str
    calls: int
    first_open: str | None


class Waiting(Struct, frozen=True, kw_only=True):
    """What is in the journal and not in the books yet. Unit: bytes.

    Of one machine it is its own journal, of several what all have shipped.
    """

    shipped: bool
    segments: int
    size_bytes: int


class Turn(Struct, frozen=True, kw_only=True):
    """Whose turn something is that one process does for all machines."""

    name: str
    holder: str
    token: int
    seconds_left: int
    """0: nobody has it."""


class Gateway(Struct, frozen=True, kw_only=True):
    """A machine's gateway, as it says itself. ``wrong`` is why it could not be asked."""

    url: str
    wrong: str = ""
    workers: int = 0
    memory_mib: int = 0
    in_flight: int = 0
    queued: int = 0


class Purse(Struct, frozen=True, kw_only=True):
    """What is used of a shared limit of money. Exact decimal texts; empty: not known any more.

    ``percent`` is how much of it is spent or leased, rounded down.
    """

    purse: str
    size: str
    spent: str
    leased: str
    left: str
    currency: str
    percent: int | None


class Raise(Struct, frozen=True, kw_only=True):
    """A request to raise a purse, and what became of it."""

    id: str
    purse: str
    size: str
    state: str
    asked_by: str
    asked: str
    decided_by: str
    note: str


class Limits(Struct, frozen=True, kw_only=True):
    """Shared limits; ``wrong`` is why they can't be told."""

    purses: tuple[Purse, ...] = ()
    raises: tuple[Raise, ...] = ()
    workers: int = 0
    """Workers that draw on them now."""
    wrong: str = ""


class Month(Struct, frozen=True, kw_only=True):
    """A month with something in it. ``unbilled`` is what is charged and not invoiced yet."""

    month: str
    closed: bool
    unbilled: tuple[Amount, ...]


class Overview(Struct, frozen=True, kw_only=True):
    """A studio at one moment, for its operator."""

    studio: str
    at: str
    books: Books
    waiting: Waiting | None
    turns: tuple[Turn, ...]
    gateways: tuple[Gateway, ...]
    limits: Limits
    months: tuple[Month, ...]
    customers: tuple[str, ...]
    set_aside: int


class Document(Struct, frozen=True, kw_only=True):
    """A document that was issued, and the addresses of its files, by their kind."""

    number: str
    kind: str
    month: str
    party: str
    contract: str
    total: str
    currency: str
    files: Mapping[str, str]


class Issued(Struct, frozen=True, kw_only=True):
    """A month's documents, for the operator."""

    studio: str
    month: str
    closed: bool
    documents: tuple[Document, ...]


class Used(Struct, frozen=True, kw_only=True):
    """What a customer used of one meter of one model in a month, and what that was charged."""

    contract: str
    model: str
    meter: str
    units: str
    amount: str
    currency: str


class Usage(Struct, frozen=True, kw_only=True):
    """What a customer used in a month, as far as it is booked."""

    studio: str
    customer: str
    month: str
    rows: tuple[Used, ...]
    totals: tuple[Amount, ...]


class CallerKey(Struct, frozen=True, kw_only=True):
    """A key, without its secret."""

    id: str
    name: str
    hint: str
    contract: str
    workspace: str
    project: str
    revoked: str


class Account(Struct, frozen=True, kw_only=True):
    """What a customer may see of itself."""

    studio: str
    at: str
    customer: str
    months: tuple[Month, ...]
    limits: Limits
    documents: tuple[Document, ...]
    keys: tuple[CallerKey, ...]


View = Overview | Issued | Usage | Account


class File(Struct, frozen=True):
    """A document's file, and whose it is: a kind of document and its party."""

    kind: str
    party: str
    content: bytes


class Source(Protocol):
    """Where it all comes from. Each may raise AwayError; None: there is no such thing."""

    def key(self, sha256: str) -> Key | None:
        """The key with this digest of its secret."""
        ...

    def overview(self) -> Overview:
        """The studio, now."""
        ...

    def issued(self, month: str) -> Issued | None:
        """A month's documents."""
        ...

    def account(self, customer: str) -> Account | None:
        """What a customer has."""
        ...

    def usage(self, customer: str, month: str) -> Usage | None:
        """What a customer used in a month."""
        ...

    def money(self, month: str) -> bytes | None:
        """The page that shows where a month's money goes."""
        ...

    def file(self, path: str) -> File | None:
        """A document's file."""
        ...


def as_json(view: View) -> bytes:
    """A view for a machine."""
    return msgspec.json.format(msgspec.json.encode(view)) + b"\n"
