"""Changes: word of keys that were made or revoked, for whoever serves, within a second."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from steelyard.store.tables import key_changes

CHANNEL = "steelyard_keys"
"""Where PostgreSQL tells of a change as soon as it is made."""

LOOK_S = 0.1
"""How often a file is looked at: two microseconds each time, on the event loop itself."""

LISTEN_S = 0.5
"""How long PostgreSQL may be silent before it is asked: a word of it may be lost."""

ANSWER_S = 5.0
AGAIN_S = 0.5
"""How long an answer may take, and the pause before another connection is tried."""

_LAST = "SELECT coalesce(max(number), 0) FROM key_changes"

Known = Callable[[], int]
Changed = Callable[[], Awaitable[None]]


def note(connection: sa.Connection, key_id: str) -> None:
    """Note in a writing transaction that a key changed, and tell those who listen."""
    last = connection.scalar(sa.select(sa.func.max(key_changes.c.number))) or 0
    connection.execute(sa.insert(key_changes), {"number": last + 1, "key_id": key_id})
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


async def watch(engine: sa.Engine, known: Known, changed: Changed) -> None:
    """Call ``changed`` whenever the last change is not the one that is ``known``; never return.

    While the database is away it is tried again and again.
    """
    way = _listen if engine.dialect.name == "postgresql" else _look
    while True:
        with suppress(OperationalError, psycopg.Error, sqlite3.Error, TimeoutError):
            await way(engine, known, changed)
        await asyncio.sleep(AGAIN_S)


async def _look(engine: sa.Engine, known: Known, changed: Changed) -> None:
    # Without a thread: one that runs Python keeps the calls waiting for the interpreter longer
    # than this takes. A reader of the log never waits for a writer.
    assert engine.url.database is not None
    with closing(sqlite3.connect(engine.url.database, timeout=0, isolation_level=None)) as file:
        while True:
            ((last,),) = file.execute(_LAST).fetchall()
            if last != known():
                await changed()
            await asyncio.sleep(LOOK_S)


async def _listen(engine: sa.Engine, known: Known, changed: Changed) -> None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with asyncio.timeout(ANSWER_S):
        opened = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with opened:
        await opened.execute(f"LISTEN {CHANNEL}")
        while True:
            async with asyncio.timeout(ANSWER_S):
                row = await (await opened.execute(_LAST)).fetchone()
            assert row is not None
            if row[0] != known():
                await changed()
            async for _ in opened.notifies(timeout=LISTEN_S, stop_after=1):
                pass
