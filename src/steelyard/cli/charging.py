"""What is charged by the period: ordered of the clerk, or looked at as it stands."""

from __future__ import annotations

import sqlalchemy as sa

from steelyard import app
from steelyard.clerk import periodic
from steelyard.clerk.book import Standing
from steelyard.clerk.periodic import Order
from steelyard.cli import waiting
from steelyard.rating.lines import Line
from steelyard.studio import Studio
from steelyard.values.clock import Clock


def charge_period(opened: Studio, engine: sa.Engine, clock: Clock, order: Order) -> int:
    """Order that what is due by the period is booked, and wait until it is: the batch that did it.

    Raises: ClerkTakenError when the clerk that is running does not get on; JournalError.
    """
    at_us = clock.wall_us()
    fact = periodic.fact(order, at_us, waiting.new_id(at_us))
    return waiting.carry_out(opened, engine, clock, fact)


def due(opened: Studio, engine: sa.Engine, order: Order, contract: str) -> list[Line]:
    """All that is due of a contract in a period by the period, as the books stand now."""
    return periodic.due(standing(opened, engine), order, contract)


def standing(opened: Studio, engine: sa.Engine) -> Standing:
    """The books as they stand, for drawing up what would be booked."""
    root = opened.root
    return Standing(app.open_books(engine), root / "journal", root / "lines")
