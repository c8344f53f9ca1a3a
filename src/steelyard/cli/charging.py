"""What is charged by the period: ordered of the clerk, or looked at as it stands."""

from __future__ import annotations

import secrets
import time

import sqlalchemy as sa

from steelyard import app
from steelyard.clerk import periodic, run
from steelyard.clerk.book import Standing
from steelyard.clerk.periodic import Order
from steelyard.rating.lines import Line
from steelyard.studio import Studio
from steelyard.values import ids
from steelyard.values.clock import Clock

_ID_BITS = 74
_LOOK_S = 0.2


def charge_period(opened: Studio, engine: sa.Engine, clock: Clock, order: Order) -> int:
    """Order that what is due by the period is booked, and wait until it is: the batch that did it.

    Raises: ClerkTakenError when the clerk that is running does not get on; JournalError.
    """
    at_us = clock.wall_us()
    fact = periodic.fact(order, at_us, ids.uuid7(at_us, secrets.randbits(_ID_BITS)))
    with app.open_facts(opened, clock) as journal:
        journal.fact(fact)
    books = app.open_books(engine)
    for _ in range(run.PATIENCE_PAUSES):
        app.book_journal(opened, engine, clock, lambda _: None)
        number = books.carried_out(fact.fact_id)
        if number is not None:
            return number
        time.sleep(_LOOK_S)
    msg = "the clerk that works on this studio does not get on; see what it says"
    raise run.ClerkTakenError(msg)


def due(opened: Studio, engine: sa.Engine, order: Order, contract: str) -> list[Line]:
    """All that is due of a contract in a period by the period, as the books stand now."""
    root = opened.root
    before = Standing(app.open_books(engine), root / "journal", root / "lines")
    return periodic.due(before, order, contract)
