from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy.exc import OperationalError

from steelyard.governance.keys import Key
from steelyard.store import changes
from steelyard.store.engines import open_engine
from steelyard.store.keys import Keys

CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE position('key_changes' in query) > 0 AND pid <> pg_backend_pid()
"""


def key(number: int) -> Key:
    return Key(id=f"k-{number}", customer="acme", contract="acme-2026", sha256=f"{number}")


def test_what_changed_after_a_change(engine):
    keys = Keys(engine)
    one, two = key(1), key(2)
    assert keys.changed(0) == (0, ())
    keys.add(one)
    keys.add(two)
    assert keys.changed(0) == (2, (one, two))
    assert keys.changed(1) == (2, (two,))
    assert keys.changed(2) == (2, ())
    keys.revoke("k-1", 5)
    keys.revoke("k-1", 7)
    assert keys.changed(2) == (3, (msgspec.structs.replace(one, revoked_us=5),))
    assert len(keys.changed(99)[1]) == 2, "that change is of another database: all of them"


class Heard:
    """Somebody who serves by the keys, and notes what it serves by."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.number = 0
        self.looks = 0
        self.found: asyncio.Event = asyncio.Event()

    async def changed(self) -> None:
        self.number, _ = self.keys.changed(self.number)
        self.looks += 1
        self.found.set()

    async def hears(self, number: int) -> None:
        async with asyncio.timeout(10):
            while self.number != number:
                self.found.clear()
                await self.found.wait()


@pytest.fixture
def elsewhere(url):
    """The keys, as another process has them open."""
    opened = open_engine(url)
    yield Keys(opened)
    opened.dispose()


async def test_who_watches_hears_of_each_change_once(engine, elsewhere):
    heard = Heard(Keys(engine))
    watching = asyncio.create_task(changes.watch(engine, lambda: heard.number, heard.changed))
    elsewhere.add(key(1))
    await heard.hears(1)
    elsewhere.revoke("k-1", 5)
    await heard.hears(2)
    elsewhere.revoke("k-1", 6)
    elsewhere.add(key(2))
    await heard.hears(3)
    assert heard.looks == 3
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_who_watches_goes_on_when_the_database_was_away(engine, elsewhere):
    heard = Heard(Keys(engine))
    fails, why = True, "the database is away"

    async def changed() -> None:
        nonlocal fails
        if fails:
            fails = False
            if engine.dialect.name == "postgresql":
                with engine.connect() as connection:
                    connection.exec_driver_sql(CUT)
            raise OperationalError(why, None, ConnectionError())
        await heard.changed()

    watching = asyncio.create_task(changes.watch(engine, lambda: heard.number, changed))
    elsewhere.add(key(1))
    await heard.hears(1)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
