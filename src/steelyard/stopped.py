"""Stopped: a worker's desk told of what is booked, for as long as some contract stops calls."""

from __future__ import annotations

import asyncio
import contextlib

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from steelyard import app
from steelyard.dispatch import stopping
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.stopping import Booked
from steelyard.studio import Studio
from steelyard.values import periods

LOOK_S = 1.0
"""How often the books are looked at."""


async def follow(desk: Desk, opened: Studio) -> None:
    """Tell a desk what is booked, again and again; never return.

    While the books are away, what was seen last holds.
    """
    with contextlib.closing(Counted(opened)) as counted:
        while True:
            wanted = stopping.contracts(desk.snapshot)
            desk.booked = await asyncio.to_thread(counted.look, wanted) if wanted else None
            await asyncio.sleep(LOOK_S)


class Counted:
    """What the books have counted, looked at anew when they have moved."""

    def __init__(self, opened: Studio) -> None:
        self._opened = opened
        self._engine: sa.Engine | None = None
        self._seen: tuple[int, frozenset[str]] | None = None
        self._booked: Booked | None = None

    def look(self, contracts: frozenset[str]) -> Booked | None:
        """What was booked under some contracts; what was seen last, while the books are away."""
        try:
            self._engine = self._engine or app.open_database(self._opened)
            books = app.open_books(self._engine)
            head = books.head()
            if self._seen != (head.batch, contracts):
                found = books.counters(head.first_open)
                kept = {key: count for key, count in found.items() if key.contract in contracts}
                opens = periods.month(head.first_open) if head.first_open else None
                self._booked = Booked(kept, opens)
                self._seen = (head.batch, contracts)
        except OperationalError:
            return self._booked
        return self._booked

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()
