"""The books: batches, transfers and balances, as the clerk books them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from steelyard.catalogue.documents import Edition
from steelyard.clerk.books import (
    BookedFact,
    Booking,
    BooksMovedError,
    CallDigest,
    Head,
    Issued,
    SetAside,
)
from steelyard.clerk.dedupe import DIGEST_BYTES
from steelyard.clerk.issuing import Document
from steelyard.ledger import balances as ledger
from steelyard.ledger.balances import Account, Balance
from steelyard.ledger.chain import GENESIS, Batch, Range
from steelyard.ledger.transfers import Transfer
from steelyard.rating.counting import Counter
from steelyard.rating.lines import LineSum
from steelyard.store import leases, tables
from steelyard.store.batches import batches_of
from steelyard.store.documents import (
    check_settled,
    insert_documents,
    issued_by_correction,
    issued_of,
)
from steelyard.store.engines import reading, writing
from steelyard.store.leases import Lease
from steelyard.store.sums import call_sums_of
from steelyard.values import periods
from steelyard.values.facts import Fact

ID_BYTES = 16
IDS_AT_ONCE_MAX = 1000
"""How many ids one query names."""


_INSERT_CALLS_POSTGRESQL = sa.text("""
    INSERT INTO calls (call_id, digest, batch)
    SELECT unnest(CAST(:call_ids AS bytea[])), unnest(CAST(:digests AS bytea[])), :batch
""")

_INSERT_CALLS_SQLITE = sa.text(f"""
    INSERT INTO calls (call_id, digest, batch)
    WITH RECURSIVE places (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM places WHERE n + 1 < :count)
    SELECT
        substr(:call_ids, {ID_BYTES} * n + 1, {ID_BYTES}),
        substr(:digests, {DIGEST_BYTES} * n + 1, {DIGEST_BYTES}),
        :batch
    FROM places
""")  # noqa: S608 - two constants of ours


class Books:
    """The books in a database."""

    def __init__(
        self,
        engine: sa.Engine,
        lease: Lease | None = None,
        keep: Callable[[Booking], None] = lambda _: None,
    ) -> None:
        """Books that are booked under a ``lease``, if there is one, after ``keep`` kept files."""
        self._engine = engine
        self._lease = lease
        self._keep = keep

    def head(self) -> Head:
        """Where the books stand."""
        with reading(self._engine) as connection:
            return head(connection)

    def cursors(self) -> dict[str, int]:
        """How far each segment is booked."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(tables.cursors))
            return {row.segment: row.offset for row in rows}

    def digests(self, call_ids: Collection[bytes]) -> dict[bytes, bytes]:
        """The digests of those of the calls that are booked.

        Calls are booked about in the order of their ids, so that mostly nothing is booked between
        the least and the greatest of a batch, and one look at the index tells.
        """
        if not call_ids:
            return {}
        calls = tables.calls.c
        found: dict[bytes, bytes] = {}
        with reading(self._engine) as connection:
            between = calls.call_id.between(min(call_ids), max(call_ids))
            if not connection.scalar(sa.select(sa.exists().where(between))):
                return {}
            wanted = sorted(call_ids)
            for start in range(0, len(wanted), IDS_AT_ONCE_MAX):
                some = wanted[start : start + IDS_AT_ONCE_MAX]
                query = sa.select(calls.call_id, calls.digest).where(calls.call_id.in_(some))
                found.update((row.call_id, row.digest) for row in connection.execute(query))
        return found

    def calls(self, call_ids: Collection[bytes]) -> Mapping[bytes, tuple[bytes, int]]:
        """The digest and the batch of those of the calls that are booked."""
        with reading(self._engine) as connection:
            return calls_of(connection, call_ids)

    def batches(self) -> Sequence[Batch]:
        """Each batch that was booked, in order."""
        with reading(self._engine) as connection:
            return [each.batch for each in batches_of(connection)]

    def call_sums(
        self, lines: Path, period: str, from_us: int | None, until_us: int | None
    ) -> Sequence[LineSum]:
        """The sums of a period's lines of calls, from one instant to another.

        Raises: LinesError.
        """
        with reading(self._engine) as connection:
            return call_sums_of(connection, lines, period, (from_us, until_us))

    def closed(self) -> Mapping[str, int]:
        """The closed periods, each with the number of its edition."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(tables.closings).order_by(tables.closings.c.number))
            return {row.period: row.edition for row in rows}

    def counters(self, first_open: str | None) -> Mapping[Counter, int]:
        """What calls have left for the next: what is of no period, or of an open one."""
        with reading(self._engine) as connection:
            return counters_of(connection, first_open)

    def facts(self, kinds: Collection[str] = ()) -> Sequence[BookedFact]:
        """All facts that were booked, in that order, or those of some kinds."""
        with reading(self._engine) as connection:
            return facts_of(connection, kinds=kinds)

    def issued(self) -> Sequence[Issued]:
        """All documents that were issued."""
        with reading(self._engine) as connection:
            return issued_of(connection)

    def notes(self, batch: int) -> Sequence[Document]:
        """The documents that a correction issued, with their content."""
        with reading(self._engine) as connection:
            return issued_by_correction(connection, batch)

    def booked_in(self, call_id: bytes) -> tuple[int, tuple[Range, ...]] | None:
        """The batch of a call and what that batch read, the call's record among it; or None."""
        calls, ranges = tables.calls.c, tables.ranges
        with reading(self._engine) as connection:
            number = connection.scalar(sa.select(calls.batch).where(calls.call_id == call_id))
            if number is None:
                return None
            rows = connection.execute(sa.select(ranges).where(ranges.c.batch == number)).all()
        return number, tuple(Range(row.segment, row.start, row.end) for row in rows)

    def editions(self, numbers: Iterable[int]) -> Mapping[int, tuple[bytes, Edition]]:
        """The recorded editions among these numbers, each with its hash."""
        table = tables.editions
        with reading(self._engine) as connection:
            query = sa.select(table).where(table.c.number.in_(sorted(set(numbers))))
            return {
                row.number: (row.sha256, msgspec.json.decode(row.body, type=Edition))
                for row in connection.execute(query)
            }

    def carried_out(self, fact_id: bytes) -> int | None:
        """The batch that was made from an order; None: it is not carried out yet."""
        batches = tables.batches.c
        named = batches.made_from.contains(fact_id.hex())
        with reading(self._engine) as connection:
            return connection.scalar(sa.select(sa.func.min(batches.number)).where(named))

    def all_set_aside(self) -> list[tuple[int, SetAside]]:
        """All that was set aside, each with its batch, in order."""
        table = tables.set_aside.c
        query = sa.select(tables.set_aside).order_by(table.batch, table.sequence)
        with reading(self._engine) as connection:
            rows = connection.execute(query)
            return [(row.batch, SetAside(row.call_id, row.reason, row.record)) for row in rows]

    def set_aside(self, latest: int) -> list[tuple[int, SetAside]]:
        """The latest records that were set aside, each with its batch, newest first."""
        table = tables.set_aside.c
        order = (table.batch.desc(), table.sequence.desc())
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(tables.set_aside).order_by(*order).limit(latest))
            return [(row.batch, SetAside(row.call_id, row.reason, row.record)) for row in rows]

    def line_files(self) -> list[tuple[int, bytes]]:
        """Each batch, in order, with the hash of its line file."""
        batches = tables.batches.c
        query = sa.select(batches.number, batches.file_sha256).order_by(batches.number)
        with reading(self._engine) as connection:
            return [(row.number, row.file_sha256) for row in connection.execute(query)]

    def book(self, booking: Booking) -> None:
        """Book a batch in one transaction.

        Raises: BooksMovedError; LedgerError; LeaseLostError; what ``keep`` raises.
        """
        self._keep(booking)
        with writing(self._engine) as connection:
            if self._lease is not None:
                leases.check(connection, self._lease)
            found = head(connection)
            if found != booking.follows:
                msg = f"the books are at batch {found.batch}, this follows {booking.follows.batch}"
                raise BooksMovedError(msg)
            _insert_calls(connection, booking.calls, booking.batch.number)
            _insert_batch(connection, booking)
            book_transfers(connection, booking.transfers)
            insert_documents(connection, booking.documents, booking.batch.number)
            for period in {each.period for each in booking.documents}:
                check_settled(connection, period)


def head(connection: sa.Connection) -> Head:
    """Where the books stand, as a transaction sees them."""
    batches, closings = tables.batches.c, tables.closings.c
    last = connection.execute(
        sa.select(batches.number, batches.hash).order_by(batches.number.desc()).limit(1)
    ).first()
    closed = connection.execute(
        sa.select(closings.batch, closings.hash).order_by(closings.number.desc()).limit(1)
    ).first()
    number, entry_hash = (last.number, last.hash) if last else (0, GENESIS)
    if closed and closed.batch == number:
        entry_hash = closed.hash
    latest = connection.scalar(sa.select(sa.func.max(closings.period)))
    first_open = str(periods.following(periods.month(latest))) if latest else None
    return Head(batch=number, hash=entry_hash, first_open=first_open)


def book_transfers(connection: sa.Connection, moved: Sequence[Transfer]) -> None:
    """Insert transfers, and bring the balances of their accounts up to date.

    Raises: LedgerError.
    """
    if not moved:
        return
    touched = ledger.touched(moved)
    before = {
        account: balance
        for account, balance in balances_of(connection, {name for name, _, _ in touched}).items()
        if account in touched
    }
    after = ledger.apply(before, moved)
    rows = [msgspec.structs.asdict(transfer) for transfer in moved]
    connection.execute(sa.insert(tables.transfers), rows)
    columns = tables.balances.c
    if before:
        this = sa.and_(
            columns.account == sa.bindparam("a"),
            columns.currency == sa.bindparam("c"),
            columns.period == sa.bindparam("p"),
        )
        old = [{"a": name, "c": currency, "p": period} for name, currency, period in before]
        connection.execute(sa.delete(tables.balances).where(this), old)
    connection.execute(sa.insert(tables.balances), [_row(*item) for item in after.items()])


def counters_of(connection: sa.Connection, first_open: str | None = None) -> dict[Counter, int]:
    """The counters of no period, and those of the periods from one on."""
    table = tables.counters
    query = sa.select(table)
    if first_open is not None:
        query = query.where(sa.or_(table.c.period == "", table.c.period >= first_open))
    return {Counter(*row[:-1]): row.value for row in connection.execute(query)}


def facts_of(
    connection: sa.Connection, batch: int | None = None, kinds: Collection[str] = ()
) -> list[BookedFact]:
    """The facts that a batch booked, or all, or those of some kinds, in order."""
    table = tables.facts
    query = sa.select(table).order_by(table.c.batch, table.c.sequence)
    if batch is not None:
        query = query.where(table.c.batch == batch)
    if kinds:
        query = query.where(table.c.kind.in_(sorted(kinds)))
    return [
        BookedFact(row.batch, Fact(row.fact_id, row.at_us, row.kind, row.body, row.by))
        for row in connection.execute(query)
    ]


def calls_of(
    connection: sa.Connection, call_ids: Collection[bytes]
) -> dict[bytes, tuple[bytes, int]]:
    """The digest and the batch of those of the calls that are booked."""
    table, wanted = tables.calls, sorted(call_ids)
    found: dict[bytes, tuple[bytes, int]] = {}
    for start in range(0, len(wanted), IDS_AT_ONCE_MAX):
        some = wanted[start : start + IDS_AT_ONCE_MAX]
        rows = connection.execute(sa.select(table).where(table.c.call_id.in_(some)))
        found.update((row.call_id, (row.digest, row.batch)) for row in rows)
    return found


def transfers_of(
    connection: sa.Connection, batch: int, first: int = 1, last: int | None = None
) -> tuple[Transfer, ...]:
    """The transfers of a batch from one sequence to another, in order."""
    columns = tables.transfers.c
    query = sa.select(tables.transfers).where(columns.batch == batch, columns.sequence >= first)
    if last is not None:
        query = query.where(columns.sequence <= last)
    rows = connection.execute(query.order_by(columns.sequence)).mappings()
    return tuple(Transfer(**row) for row in rows)


def balances_of(
    connection: sa.Connection, accounts: Collection[str] | None = None
) -> dict[Account, Balance]:
    """The balances of some accounts, or of all."""
    table = tables.balances
    query = sa.select(table)
    if accounts is not None:
        query = query.where(table.c.account.in_(sorted(accounts)))
    return {
        (row.account, row.currency, row.period): Balance(row.debit_pico, row.credit_pico)
        for row in connection.execute(query)
    }


def _insert_calls(connection: sa.Connection, calls: Sequence[CallDigest], batch: int) -> None:
    # One statement for the whole batch, in the index's order: several times faster than a row at a
    # time, and the interpreter is free meanwhile.
    if not calls:
        return
    rows = sorted(calls)
    call_ids, digests = [call_id for call_id, _ in rows], [digest for _, digest in rows]
    if connection.dialect.name == "postgresql":
        values: dict[str, Any] = {"call_ids": call_ids, "digests": digests}
        statement = _INSERT_CALLS_POSTGRESQL
    else:
        values = {"call_ids": b"".join(call_ids), "digests": b"".join(digests), "count": len(rows)}
        statement = _INSERT_CALLS_SQLITE
    connection.execute(statement, values | {"batch": batch})


def _row(account: Account, balance: Balance) -> dict[str, object]:
    name, currency, period = account
    return {
        "account": name,
        "currency": currency,
        "period": period,
        "debit_pico": balance.debit_pico,
        "credit_pico": balance.credit_pico,
    }


def _insert_batch(connection: sa.Connection, booking: Booking) -> None:
    batch = booking.batch
    columns = tables.batches.c.keys()
    values = msgspec.structs.asdict(batch) | {"hash": booking.hash}
    connection.execute(sa.insert(tables.batches), {name: values[name] for name in columns})
    _insert(
        connection,
        tables.ranges,
        [{"batch": batch.number} | msgspec.structs.asdict(each) for each in batch.ranges],
    )
    _insert(
        connection,
        tables.batch_periods,
        [{"batch": batch.number, "period": period} for period in batch.periods],
    )
    _insert(
        connection,
        tables.batch_editions,
        [{"batch": batch.number, "edition": number} for number, _ in batch.editions],
    )
    _insert(
        connection,
        tables.set_aside,
        [
            {"batch": batch.number, "sequence": place} | msgspec.structs.asdict(each)
            for place, each in enumerate(booking.set_aside, start=1)
        ],
    )
    _insert(
        connection,
        tables.facts,
        [
            {"batch": batch.number, "sequence": place} | msgspec.structs.asdict(each)
            for place, each in enumerate(booking.facts, start=1)
        ],
    )
    _insert_counters(connection, batch)
    cursors = tables.cursors
    here = cursors.c.segment == sa.bindparam("here")
    if batch.ranges:
        connection.execute(
            sa.delete(cursors).where(here), [{"here": r.segment} for r in batch.ranges]
        )
    _insert(
        connection,
        cursors,
        [{"segment": each.segment, "offset": each.end} for each in batch.ranges],
    )


def _insert_counters(connection: sa.Connection, batch: Batch) -> None:
    # One that came to nothing is forgotten: windows that roll leave such behind them.
    columns = tables.counters.c
    rows: list[dict[str, Any]] = [
        {**dict(zip(Counter._fields, key, strict=True)), "value": value}
        for key, value in batch.counters
    ]
    if rows:
        this = sa.and_(*(columns[name] == sa.bindparam(f"b_{name}") for name in Counter._fields))
        old = [{f"b_{name}": row[name] for name in Counter._fields} for row in rows]
        connection.execute(sa.delete(tables.counters).where(this), old)
    _insert(connection, tables.counters, [row for row in rows if row["value"]])
    _insert(connection, tables.batch_counters, [row | {"batch": batch.number} for row in rows])


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)
