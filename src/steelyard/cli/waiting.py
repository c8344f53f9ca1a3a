"""Orders that the clerk carries out: written down as facts, and waited for."""

from __future__ import annotations

import secrets
import time

import sqlalchemy as sa

from steelyard import app
from steelyard.clerk import run
from steelyard.rating import corrections
from steelyard.rating.corrections import Correction
from steelyard.studio import Studio
from steelyard.values import ids
from steelyard.values.clock import Clock
from steelyard.values.facts import Fact

_ID_BITS = 74
_LOOK_S = 0.2


def new_id(at_us: int) -> bytes:
    """The id of a new order."""
    return ids.uuid7(at_us, secrets.randbits(_ID_BITS))


def carry_out(opened: Studio, engine: sa.Engine, clock: Clock, fact: Fact) -> int:
    """Write an order down, and wait until it is carried out: the batch that did it.

    Raises: ClerkTakenError when the clerk that is running does not get on; JournalError.
    """
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


def correct(opened: Studio, engine: sa.Engine, clock: Clock, correction: Correction) -> int:
    """Order that calls are rated otherwise, and wait until they are: the batch that did it.

    Raises: as ``carry_out`` does.
    """
    at_us = clock.wall_us()
    return carry_out(opened, engine, clock, corrections.fact(correction, at_us, new_id(at_us)))
