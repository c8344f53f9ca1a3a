"""The tables, once for both dialects."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, TypeEngine

SCHEMA_VERSION = 9

METADATA = sa.MetaData()


class Pico(TypeDecorator[int]):
    """An exact integer of up to 38 digits: NUMERIC(38,0), or its decimal digits in SQLite.

    Unit: pico-units of the row's currency. SQLite must not add or compare these.
    """

    impl = sa.Numeric(38, 0)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        """NUMERIC where it is exact; in SQLite it would be a float."""
        exact = sa.Text() if dialect.name == "sqlite" else sa.Numeric(38, 0)
        return dialect.type_descriptor(exact)

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> str | int | None:
        """An integer as the database takes it."""
        if value is None or dialect.name != "sqlite":
            return value
        return str(value)

    def process_result_value(self, value: str | Decimal | None, dialect: sa.Dialect) -> int | None:
        """An integer again."""
        del dialect
        return None if value is None else int(value)


def _whole(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False, nullable=False)


def _word(name: str, *, key: bool = False, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, unique=unique or None, nullable=False)


def _blob(name: str, *, key: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, primary_key=key, nullable=False)


def _pico(name: str) -> sa.Column[int]:
    return sa.Column(name, Pico, nullable=False)


schema_version = sa.Table("schema_version", METADATA, _whole("version", key=True))

editions = sa.Table(
    "editions",
    METADATA,
    _whole("number", key=True),
    _blob("sha256"),
    _blob("body"),
    _whole("recorded_us"),
)
"""All documents as they stood when they were recorded: JSON and its hash."""

batches = sa.Table(
    "batches",
    METADATA,
    _whole("number", key=True),
    sa.Column("first_open", sa.Text),
    _whole("calls"),
    _whole("unrated"),
    _whole("duplicates"),
    _whole("conflicts"),
    _whole("lines"),
    _whole("file_bytes"),
    _blob("file_sha256"),
    _blob("hash"),
    _word("kind"),
    _word("made_from"),
)
"""Each batch, of which kind it is, and what it was made from, unless that is ranges."""

ranges = sa.Table(
    "ranges",
    METADATA,
    _whole("batch", key=True),
    _word("segment", key=True),
    _whole("start"),
    _whole("end"),
)
"""What each batch read of the journal."""

batch_periods = sa.Table(
    "batch_periods",
    METADATA,
    _whole("batch", key=True),
    _word("period", key=True),
)
"""The periods that each batch's lines belong to."""

batch_editions = sa.Table(
    "batch_editions",
    METADATA,
    _whole("batch", key=True),
    _whole("edition", key=True),
)
"""Which documents each batch was priced by."""

cursors = sa.Table("cursors", METADATA, _word("segment", key=True), _whole("offset"))
"""How far each segment is booked."""

_COUNTER = ("contract", "name", "model", "meter", "period")

counters = sa.Table(
    "counters",
    METADATA,
    *(_word(name, key=True) for name in _COUNTER),
    _whole("value"),
)
"""What calls have left for the next: a grant's units that are covered, a month's units so far."""

batch_counters = sa.Table(
    "batch_counters",
    METADATA,
    _whole("batch", key=True),
    *(_word(name, key=True) for name in _COUNTER),
    _whole("value"),
)
"""The counters that each batch changed, and where they stood after it."""

calls = sa.Table(
    "calls",
    METADATA,
    _blob("call_id", key=True),
    _blob("digest"),
    _whole("batch"),
    sqlite_with_rowid=False,
)
"""Every booked call and the hash of what its record said, so that it is booked once."""

set_aside = sa.Table(
    "set_aside",
    METADATA,
    _whole("batch", key=True),
    _whole("sequence", key=True),
    _blob("call_id"),
    _word("reason"),
    _blob("record"),
)
"""Records kept for inspection: of a call that was booked with other content, or without a price."""

facts = sa.Table(
    "facts",
    METADATA,
    _blob("fact_id", key=True),
    _whole("batch"),
    _whole("sequence"),
    _whole("at_us"),
    _word("kind"),
    _word("body"),
    _word("by"),
    sa.Index("facts_by_batch", "batch", "sequence"),
)
"""What the journal says that is no call, and the batch that booked it."""

transfers = sa.Table(
    "transfers",
    METADATA,
    _whole("batch", key=True),
    _whole("sequence", key=True),
    _word("debit"),
    _word("credit"),
    _pico("amount_pico"),
    _word("currency"),
    _word("code"),
    _word("period"),
    _word("state"),
    sa.CheckConstraint("debit <> credit", name="two_accounts"),
)

balances = sa.Table(
    "balances",
    METADATA,
    _word("account", key=True),
    _word("currency", key=True),
    _word("period", key=True),
    _pico("debit_pico"),
    _pico("credit_pico"),
)
"""What transfers add up to on each account, by the period that they belong to."""

closings = sa.Table(
    "closings",
    METADATA,
    _whole("number", key=True),
    _word("period", unique=True),
    _whole("batch"),
    _whole("edition"),
    _whole("closed_at_us"),
    sa.Column("early", sa.Boolean, nullable=False),
    _whole("first_sequence"),
    _whole("last_sequence"),
    _blob("hash"),
)
"""The closed periods in the order of closing; each follows the last batch booked before it, and
its transfers are those of that batch from the first to the last sequence."""

documents = sa.Table(
    "documents",
    METADATA,
    _word("number", key=True),
    _word("period"),
    _whole("place"),
    _word("kind"),
    _word("party"),
    _word("contract"),
    _word("currency"),
    _pico("exact_pico"),
    _pico("paid_pico"),
    _whole("batch"),
)
"""What was issued of a period: by its closing (the batch is 0), or by the correction that booked a
batch."""

document_files = sa.Table(
    "document_files",
    METADATA,
    _word("path", key=True),
    _word("number"),
    _whole("place"),
    _word("sha256"),
    _blob("content"),
)

keys = sa.Table(
    "keys",
    METADATA,
    _word("id", key=True),
    _word("customer"),
    _word("contract"),
    _word("models"),
    _word("sha256", unique=True),
    _word("name"),
    _word("hint"),
    _whole("created_us"),
    sa.Column("revoked_us", sa.BigInteger),
    _word("regions"),
    _whole("routing"),
    _word("workspace"),
    _word("project"),
    _whole("priority"),
)
"""Callers' keys; ``models`` and ``regions`` are JSON lists, ``routing`` is 0 or 1."""

key_changes = sa.Table(
    "key_changes",
    METADATA,
    _whole("number", key=True),
    _word("key_id"),
)
"""Each making, change and revocation of a key, in their order: what those who serve look for."""

leases = sa.Table(
    "leases",
    METADATA,
    _word("name", key=True),
    _word("holder"),
    _whole("token"),
    _whole("until_us"),
)
"""What one process at a time does for all machines: whose it is, by the database's own clock."""

shipped = sa.Table(
    "shipped",
    METADATA,
    _word("name", key=True),
    _whole("size"),
    _blob("sha256"),
    _whole("frontier"),
)
"""The journal's segments that are in the object store."""

workers = sa.Table(
    "workers",
    METADATA,
    _word("name", key=True),
    _word("machine"),
    _whole("shipped"),
)
"""Whoever has leased from shared limits; ``shipped`` is 1 once it is dead and its journal is in the
object store."""

BESIDE_THE_BOOKS = frozenset({schema_version, keys, key_changes, leases, shipped, workers})
"""What an audit does not make again: nothing of it is booked."""
