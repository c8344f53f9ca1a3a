"""Engines: a database by its URL or its file, and the transactions that everything here runs in."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

import sqlalchemy as sa
from sqlalchemy import event

from steelyard.store.migrations import SchemaError, migrate
from steelyard.store.tables import METADATA, SCHEMA_VERSION, schema_version

BUSY_MS_MAX = 30_000
"""How long a transaction waits for another writer before it fails."""

_WRITER_LOCK = 0x57EE17A8D
"""The advisory lock of whoever writes the books in PostgreSQL."""


def sqlite_url(file: Path) -> str:
    """The URL of a database in a file."""
    return f"sqlite:///{file.absolute()}"


def open_engine(url: str) -> sa.Engine:
    """Open a database, and make its tables when it has none.

    Raises: SchemaError for one of another version or with tables that are not ours;
    sqlalchemy.exc.OperationalError when it can't be reached.
    """
    engine = connect(url)
    try:
        with writing(engine) as connection:
            _prepare(connection)
    except BaseException:  # whatever it was, nobody else can close the engine
        engine.dispose()
        raise
    return engine


def connect(url: str, *, wait_ms: int | None = None, synchronous: str = "FULL") -> sa.Engine:
    """A database, whatever tables it has. Nothing is opened yet.

    ``wait_ms`` is how long a statement may take, or wait for others; ``synchronous`` is SQLite's.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        bounds: dict[str, object] = {}
        if wait_ms is not None:
            bounds["options"] = f"-c statement_timeout={wait_ms} -c lock_timeout={wait_ms}"
            bounds["connect_timeout"] = max(2, wait_ms // 1000)
        return sa.create_engine(parsed, pool_pre_ping=wait_ms is None, connect_args=bounds)
    engine = sa.create_engine(parsed)
    event.listen(engine, "connect", _sqlite_settings(wait_ms or BUSY_MS_MAX, synchronous))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: sa.Engine) -> Generator[sa.Connection]:
    """A transaction that sees the books as they stand at one moment."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: sa.Engine) -> Generator[sa.Connection]:
    """A transaction that alone may write until it ends, and that sees all that was written."""
    with engine.connect() as connection:
        connection.execution_options(steelyard_writes=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
            yield connection


def _sqlite_settings(busy_ms: int, synchronous: str) -> Callable[[SqliteConnection, object], None]:
    def configure(connection: SqliteConnection, _record: object) -> None:
        # The driver's own transactions begin late and without a lock; ours in ``_begin_sqlite``.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {busy_ms}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "cache_size = -32768",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return configure


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("steelyard_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare(connection: sa.Connection) -> None:
    ours = set(METADATA.tables)
    before = set(sa.inspect(connection).get_table_names())
    if schema_version.name not in before:
        if before & ours:
            msg = f"the database has tables of another program: {', '.join(sorted(before & ours))}"
            raise SchemaError(msg)
        METADATA.create_all(connection)
        connection.execute(sa.insert(schema_version).values(version=SCHEMA_VERSION))
    found = connection.scalars(sa.select(schema_version.c.version)).all()
    if len(found) == 1 and found[0] < SCHEMA_VERSION:
        migrate(connection, found[0])
        found = [SCHEMA_VERSION]
    if found != [SCHEMA_VERSION]:
        msg = (
            f"the database has schema version {', '.join(map(str, found)) or 'none'}, "
            f"and this Steelyard works with {SCHEMA_VERSION}; start the version that made it"
        )
        raise SchemaError(msg)
    missing = ours - set(sa.inspect(connection).get_table_names())
    assert not missing, f"tables that were not made: {missing}"
