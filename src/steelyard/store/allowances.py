"""Shared limits in SQLite or PostgreSQL: pots and leases, each exchange one transaction.

Rows are locked in the order of the purses' names, always the same, so that nobody waits in a ring.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError

from steelyard.dispatch import leasing
from steelyard.dispatch.leasing import (
    Given,
    Held,
    Lease,
    Notice,
    Pot,
    StoreAwayError,
    StoreClosedError,
    Wish,
    WriterReleasedError,
)
from steelyard.store.engines import connect

WAIT_MS_MAX = 2000
"""How long a statement may take before the store counts as away."""

_MAKER_LOCK = 0x57EE17A8E
"""The advisory lock of whoever makes the tables in PostgreSQL, where two can't do it at once."""

METADATA = sa.MetaData()


def _whole(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False, nullable=False)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


_stamps = sa.Table("allowance_stamp", METADATA, _word("stamp"))
"""At most one row: what the purses are of. None: the store is closed."""

_writers = sa.Table(
    "allowance_writers",
    METADATA,
    _word("writer"),
    _whole("turn"),
    sa.Column("released", sa.Boolean, nullable=False),
)

_pots = sa.Table(
    "allowance_pots",
    METADATA,
    _word("purse"),
    _whole("until_us"),
    *(_whole(name) for name in Pot._fields),
)

_leases = sa.Table(
    "allowance_leases",
    METADATA,
    _word("purse"),
    _word("writer"),
    _whole("granted"),
    _whole("spent"),
    sa.Column("short", sa.Boolean, nullable=False),
)

_notices = sa.Table(
    "allowance_notices",
    METADATA,
    _word("purse"),
    _whole("ppm", key=True),
    _whole("at_us"),
    sa.Column("spent", sa.Text, nullable=False),
    sa.Column("size", sa.Text, nullable=False),
)


_IS_RATE = _leases.c.purse.startswith(leasing.RATE, autoescape=True)


class SqlAllowances:
    """A store of shared limits in a database of its own, or beside others' tables."""

    def __init__(self, url: str) -> None:
        """Open it, and make its tables. Raises: StoreAwayError."""
        self._engine = connect(url, wait_ms=WAIT_MS_MAX, synchronous="NORMAL")
        self.round_trips = 0
        event.listen(self._engine, "before_cursor_execute", self._count)
        self._postgresql = self._engine.dialect.name == "postgresql"
        self._file = None if self._postgresql else Path(self._engine.url.database or "")
        self._inode = 0
        self._made = False
        """Whether the database has our tables, for all that is known."""

    def exchange(
        self, stamp: str, writer: str, turn: int, wishes: Sequence[Wish]
    ) -> Sequence[Given]:
        """Settle, give back and lease. Raises: as the Protocol says."""
        with self._whole() as connection:
            if not self._take_turn(connection, writer, turn, stamp):
                return ()
            names = [wish.purse for wish in wishes]
            known = self._known(connection, writer, names)
            if len(known) < len(names):
                self._make(connection, {wish.purse: wish.until_us for wish in wishes})
                known = self._known(connection, writer, names)
            found: list[Given] = []
            for wish in wishes:
                pot, lease = known[wish.purse]
                pot, lease, given = leasing.give(pot, lease, wish)
                known[wish.purse] = pot, lease
                found.append(given)
            self._write(connection, writer, known)
            return found

    def join(self, writer: str, turn: int, held: Mapping[str, tuple[Lease, int]]) -> None:
        """Tell a store that is being built up what a worker has. Raises: WriterReleasedError."""
        with self._whole() as connection:
            stamp = connection.scalar(sa.select(_stamps.c.stamp)) or ""
            if not leasing.is_building(stamp):
                return
            if not self._take_turn(connection, writer, turn, stamp):
                return
            self._make(connection, {name: until_us for name, (_, until_us) in held.items()})
            known = self._known(connection, writer, [*held])
            joined = {name: leasing.join(*known[name], lease) for name, (lease, _) in held.items()}
            self._write(connection, writer, joined)

    def state(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """Its stamp, the living writers, the released ones."""
        with self._whole() as connection:
            stamp = connection.scalar(sa.select(_stamps.c.stamp))
            rows = connection.execute(sa.select(_writers.c.writer, _writers.c.released)).all()
        released = frozenset(row.writer for row in rows if row.released)
        return stamp or "", frozenset(row.writer for row in rows) - released, released

    def clear(self, seen: str, stamp: str) -> None:
        """Forget everything but what was told, to build it up for a stamp."""
        with self._whole() as connection:
            if self._postgresql:
                connection.execute(sa.text("LOCK TABLE allowance_stamp IN EXCLUSIVE MODE"))
            if (connection.scalar(sa.select(_stamps.c.stamp)) or "") != seen:
                return
            for table in (_stamps, _writers, _pots, _leases):
                connection.execute(sa.delete(table))
            connection.execute(sa.insert(_stamps).values(stamp=leasing.building(stamp)))

    def open(self, stamp: str, counted: Collection[str] = ()) -> None:
        """Lease from now on, if all are counted."""
        built = _stamps.c.stamp == leasing.building(stamp)
        with self._whole() as connection:
            # The row is ours before we look: nobody clears it, to build it up again, in between.
            connection.execute(sa.update(_stamps).where(built).values(stamp=_stamps.c.stamp))
            if not {*counted} - {*connection.scalars(sa.select(_writers.c.writer))}:
                connection.execute(sa.update(_stamps).where(built).values(stamp=stamp))

    def release(self, writer: str, spent: Mapping[str, tuple[int, int]]) -> None:
        """A writer is dead and this is all that it spent."""
        with self._whole() as connection:
            query = sa.select(_writers.c.released).where(_writers.c.writer == writer)
            if connection.scalar(query):
                return
            made = self._insert(_writers).values(writer=writer, turn=0, released=True)
            connection.execute(
                made.on_conflict_do_update(
                    index_elements=["writer"], set_={"released": made.excluded.released}
                )
            )
            query = sa.select(_leases.c.purse).where(_leases.c.writer == writer, sa.not_(_IS_RATE))
            names = sorted({*connection.scalars(query), *spent})
            self._make(connection, {name: until_us for name, (_, until_us) in spent.items()})
            self._free(connection, writer, names, spent)

    def lapse(self, writers: Collection[str]) -> None:
        """Released writers have been dead for so long that all is back that comes back by time."""
        query = (
            sa.select(_leases.c.writer, _leases.c.purse)
            .join(_writers, _writers.c.writer == _leases.c.writer)
            .where(_leases.c.writer.in_(writers), _writers.c.released)
        )
        with self._whole() as connection:
            left: dict[str, list[str]] = {}
            for row in connection.execute(query):
                left.setdefault(row.writer, []).append(row.purse)
            for writer, names in sorted(left.items()):
                self._free(connection, writer, names, {})

    def forget(self, before_us: int) -> None:
        """Forget purses whose window ended before."""
        with self._whole() as connection:
            old = sa.select(_pots.c.purse).where(_pots.c.until_us < before_us)
            connection.execute(sa.delete(_leases).where(_leases.c.purse.in_(old)))
            connection.execute(sa.delete(_pots).where(_pots.c.until_us < before_us))

    def held(self) -> Sequence[Held]:
        """Every purse, by name."""
        with self._whole() as connection:
            rows = connection.execute(sa.select(_pots).order_by(_pots.c.purse))
            return [Held(row.purse, row.granted, row.spent) for row in rows]

    def notice(self, notice: Notice) -> bool:
        """Keep a notice; whether it is the first of its purse and part."""
        row = {**notice._asdict(), "spent": str(notice.spent), "size": str(notice.size)}
        with self._whole() as connection:
            made = self._insert(_notices).on_conflict_do_nothing().returning(_notices.c.ppm)
            return connection.execute(made, row).first() is not None

    def notices(self) -> Sequence[Notice]:
        """All that were kept, oldest first."""
        query = sa.select(_notices).order_by(_notices.c.at_us, _notices.c.purse)
        with self._whole() as connection:
            rows = connection.execute(query).all()
        return [Notice(r.purse, r.ppm, r.at_us, int(r.spent), int(r.size)) for r in rows]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _whole(self) -> Generator[sa.Connection]:
        """A transaction. Raises: StoreAwayError, with nothing done for all that is known."""
        self._see_file()
        try:
            with self._engine.connect() as connection:
                connection.execution_options(steelyard_writes=True)
                self.round_trips += 2  # to begin, and to commit
                with connection.begin():
                    if not self._made:
                        if self._postgresql:
                            lock = sa.func.pg_advisory_xact_lock(_MAKER_LOCK)
                            connection.execute(sa.select(lock))
                        METADATA.create_all(connection)
                    yield connection
            self._made = True
        except (OperationalError, InterfaceError, ProgrammingError) as exc:
            self._made = False
            raise StoreAwayError from exc
        except DBAPIError as exc:
            if exc.connection_invalidated:
                raise StoreAwayError from exc
            raise

    def _count(self, *_: object) -> None:
        self.round_trips += 1

    def _see_file(self) -> None:
        """Let go of a file that is not there any more: all must write into the same."""
        if self._file is None:
            return
        try:
            inode = self._file.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode or not inode:
            self._engine.dispose()
            self._made = False
            if not inode:
                self._file.touch()
            self._inode = self._file.stat().st_ino

    def _take_turn(self, connection: sa.Connection, writer: str, turn: int, stamp: str) -> bool:
        """Whether this is the writer's newest word, to a store of this stamp.

        Raises: StoreClosedError, WriterReleasedError.
        """
        # The stamp stays what it is until the end of this: a store is not cleared in between.
        values = (sa.literal(writer), sa.literal(turn, sa.BigInteger), sa.false())
        made = self._insert(_writers).from_select(
            [_writers.c.writer, _writers.c.turn, _writers.c.released],
            sa.select(*values).where(_stamps.c.stamp == stamp).with_for_update(read=True),
        )
        newer = sa.and_(_writers.c.turn < turn, sa.not_(_writers.c.released))
        done = made.on_conflict_do_update(
            index_elements=["writer"], set_={"turn": made.excluded.turn}, where=newer
        )
        if connection.execute(done.returning(_writers.c.turn)).first() is not None:
            return True
        query = sa.select(_writers.c.released).where(_writers.c.writer == writer)
        if connection.scalar(query):
            raise WriterReleasedError
        if connection.scalar(sa.select(_stamps.c.stamp)) != stamp:
            raise StoreClosedError
        return False

    def _known(
        self, connection: sa.Connection, writer: str, names: Sequence[str]
    ) -> dict[str, tuple[Pot, Lease | None]]:
        """The pots, locked, and what a writer has of them."""
        mine = sa.and_(_leases.c.purse == _pots.c.purse, _leases.c.writer == writer)
        query = (
            sa.select(
                *_pots.c,
                _leases.c.granted.label("own"),
                _leases.c.spent.label("own_spent"),
                _leases.c.short,
            )
            .select_from(_pots.outerjoin(_leases, mine))
            .where(_pots.c.purse.in_(names))
            .order_by(_pots.c.purse)
            .with_for_update(of=_pots)
        )
        return {
            row.purse: (
                Pot(row.granted, row.spent, row.holders, row.seekers),
                None if row.own is None else Lease(row.own, row.own_spent, row.short),
            )
            for row in connection.execute(query)
        }

    def _make(self, connection: sa.Connection, ends: Mapping[str, int]) -> None:
        """Make pots that are not there yet; ``ends`` is when their windows end."""
        rows = [
            {"purse": name, "until_us": until_us, **Pot()._asdict()}
            for name, until_us in sorted(ends.items())
        ]
        if rows:
            connection.execute(self._insert(_pots).on_conflict_do_nothing(), rows)

    def _free(
        self,
        connection: sa.Connection,
        writer: str,
        names: Sequence[str],
        spent: Mapping[str, tuple[int, int]],
    ) -> None:
        """Give back what a dead writer had of purses, but for what it spent."""
        known = self._known(connection, writer, names)
        pots = {
            name: (leasing.release(pot, lease, spent.get(name, (0, 0))[0]), None)
            for name, (pot, lease) in known.items()
        }
        its = sa.and_(_leases.c.writer == writer, _leases.c.purse.in_(names))
        connection.execute(sa.delete(_leases).where(its))
        self._write(connection, writer, pots)

    def _write(
        self, connection: sa.Connection, writer: str, pots: Mapping[str, tuple[Pot, Lease | None]]
    ) -> None:
        """Write pots, and what a writer has of them now; nothing, where there is no lease."""
        changed = {name: _pots.c[name] for name in Pot._fields}
        update = (
            sa.update(_pots)
            .where(_pots.c.purse == sa.bindparam("_purse"))
            .values({name: sa.bindparam(f"_{name}") for name in changed})
        )
        rows = [
            {"_purse": name, **{f"_{field}": value for field, value in pot._asdict().items()}}
            for name, (pot, _) in sorted(pots.items())
        ]
        if rows:
            connection.execute(update, rows)
        leases = [
            {"purse": name, "writer": writer, **lease._asdict()}
            for name, (_, lease) in sorted(pots.items())
            if lease is not None
        ]
        if leases:
            made = self._insert(_leases)
            fields = {name: made.excluded[name] for name in Lease._fields}
            done = made.on_conflict_do_update(index_elements=["purse", "writer"], set_=fields)
            connection.execute(done, leases)

    def _insert(self, table: sa.Table) -> postgresql.Insert:
        made = postgresql.insert(table) if self._postgresql else sqlite.insert(table)
        return cast("postgresql.Insert", made)
