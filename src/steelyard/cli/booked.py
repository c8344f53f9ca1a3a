"""A studio whose journal is booked: what closing, reporting and auditing begin with."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from sqlalchemy.exc import OperationalError

from steelyard import app
from steelyard.clerk.book import Standing
from steelyard.clerk.books import BooksMovedError
from steelyard.clerk.periodic import Order
from steelyard.clerk.run import ClerkTakenError, Outcome
from steelyard.clerk.shipping import ObjectsError
from steelyard.cli import charging, waiting
from steelyard.cli.failing import fail
from steelyard.ledger.balances import LedgerError
from steelyard.rating.corrections import Correction
from steelyard.rating.lines import Line
from steelyard.store.closings import Closings
from steelyard.store.leases import LeaseLostError
from steelyard.store.lines import LinesError
from steelyard.store.migrations import SchemaError
from steelyard.studio import Studio
from steelyard.system import SystemClock

FAULTS = (
    BooksMovedError,
    ClerkTakenError,
    LeaseLostError,
    LedgerError,
    LinesError,
    ObjectsError,
    OperationalError,
    SchemaError,
)
"""What can be wrong with a studio's books; each says what to do."""


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """A studio, the number of its documents, and its books up to the end of the journal."""

    studio: Studio
    edition: int
    closings: Closings
    standing: Standing
    correct: Callable[[Correction], int]
    """Carries a correction out; the batch that did it."""
    charge: Callable[[Order], int]
    """Books what is due by the period: by which batch."""
    due: Callable[[Order, str], list[Line]]
    """What is due of a contract by the period, as it stands now."""


@contextmanager
def booked(folder: Path) -> Generator[Booked]:
    """Open a studio, and book what is in its journal.

    Exits when that can't be done; what of the journal can't be read is said on standard error.
    """
    opened = app.load_studio(folder)
    clock = SystemClock()
    try:
        engine = app.open_database(opened)
        try:
            edition = app.record_edition(opened, engine, clock)
            _say_what_is_unread(app.book_journal(opened, engine, clock, lambda _: None))
            closings = app.open_closings(opened, engine)

            def charge(order: Order) -> int:
                return charging.charge_period(opened, engine, clock, order)

            def due(order: Order, contract: str) -> list[Line]:
                return charging.due(opened, engine, order, contract)

            def correct(correction: Correction) -> int:
                return waiting.correct(opened, engine, clock, correction)

            yield Booked(
                studio=opened,
                edition=edition,
                closings=closings,
                standing=charging.standing(opened, engine),
                correct=correct,
                charge=charge,
                due=due,
            )
        finally:
            engine.dispose()
    except FAULTS as exc:
        fail(str(exc))


def _say_what_is_unread(outcome: Outcome | None) -> None:
    for damage in outcome.damages if outcome else ():
        click.echo(f"steelyard: {damage}; what follows in this segment is not booked", err=True)
    if outcome and outcome.unrated:
        click.echo(f"steelyard: {outcome.unrated:,} calls have no price, set aside", err=True)
