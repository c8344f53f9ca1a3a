"""The clerk at work: until the journal is read, or for as long as it is not told to stop."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from steelyard.clerk.batch import Gathered, Journal
from steelyard.clerk.book import Standing, book_calls, book_correction, book_dues
from steelyard.clerk.books import Books, BooksMovedError
from steelyard.clerk.publishing import publish
from steelyard.ledger.chain import Batch
from steelyard.metering import recovery
from steelyard.metering.recovery import Recovery
from steelyard.metering.segments import Damage
from steelyard.values.clock import Clock

_Made = TypeVar("_Made", Batch, Batch | None)

ATTEMPTS_MAX = 5
"""How often a batch is booked again when a closing came in between."""

RECOVER_EVERY_POLLS = 20
"""How often, while there is nothing to book, dead writers' calls are closed."""

PATIENCE_PAUSES = 300
"""How many pauses in a row a clerk elsewhere may book nothing before nobody waits for it."""


class ClerkTakenError(RuntimeError):
    """Another clerk works on this studio."""

    code = "clerk_taken"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked until the journal was read, and where it can't be read."""

    batches: int = 0
    calls: int = 0
    unrated: int = 0
    duplicates: int = 0
    conflicts: int = 0
    lines: int = 0
    damages: tuple[Damage, ...] = ()

    def and_(self, batch: Batch) -> Outcome:
        """With one batch more."""
        return Outcome(
            batches=self.batches + 1,
            calls=self.calls + batch.calls,
            unrated=self.unrated + batch.unrated,
            duplicates=self.duplicates + batch.duplicates,
            conflicts=self.conflicts + batch.conflicts,
            lines=self.lines + batch.lines,
        )


@contextmanager
def claim(file: Path) -> Generator[None]:
    """Be the one clerk of a studio for as long as this lasts.

    Raises: ClerkTakenError.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(fd)
        msg = "another clerk works on this studio; one is enough"
        raise ClerkTakenError(msg) from exc
    try:
        yield
    finally:
        os.close(fd)


class Clerk:
    """Books a journal, a batch of about ``calls_max`` calls at a time."""

    def __init__(
        self,
        books: Books,
        journal: Path,
        lines: Path,
        clock: Clock,
        calls_max: int,
        fetch: Callable[[], object] | None = None,
    ) -> None:
        """Book the journal of this machine, or with ``fetch`` what it brings into the folder."""
        self._books = books
        self._journal = Journal(journal)
        self._lines = lines
        self._clock = clock
        self._calls_max = calls_max
        self._fetch = fetch
        self._cursors = books.cursors()
        self._orders = True
        """Whether orders may wait that no batch has carried out."""
        self._before = Standing(books, journal, lines)

    def recover(self) -> Recovery:
        """Close what killed writers left, so that each of their calls has a record.

        Of another machine's writers only that one can tell whether they live.
        """
        if self._fetch is not None:
            return Recovery((), (), ())
        return recovery.recover(self._journal.root, self._clock)

    def drain(
        self, booked: Callable[[Batch], None], stopping: Callable[[], bool] = lambda: False
    ) -> Outcome:
        """Book until the journal is read; ``booked`` is told of each batch.

        When ``stopping``, the batch at hand is the last.

        Raises: BooksMovedError when others keep booking; LedgerError; what ``fetch`` raises.
        """
        if self._fetch is not None:
            self._fetch()
        outcome = Outcome()
        ended = False
        while not ended:
            gathered = self._journal.gather(self._cursors, self._calls_max)
            made = [self._book(gathered)] if gathered.ranges else []
            self._cursors |= {each.segment: each.end for each in gathered.ranges}
            if self._orders or gathered.facts:
                made += self._carry_out()
            for batch in made:
                outcome = outcome.and_(batch)
                booked(batch)
            ended = not gathered.ranges or stopping()
        return msgspec.structs.replace(outcome, damages=tuple(self._journal.damages.values()))

    def run(
        self,
        told: Callable[[Recovery | Outcome], None],
        stopping: Callable[[], bool],
        pause: Callable[[], object],
        keep: Callable[[], Recovery | None] = lambda: None,
    ) -> None:
        """Go on booking until ``stopping``; ``pause`` waits for the next look.

        ``told`` hears what each recovery and each look at the journal found; ``keep`` keeps shared
        limits true to it.
        Raises: as ``drain`` does.
        """
        polls = 0
        while not stopping():
            if polls % RECOVER_EVERY_POLLS == 0:
                told(self.recover())
            if (recovered := keep()) is not None:
                told(recovered)
            told(self.drain(lambda _: None, stopping))
            polls += 1
            pause()

    def _book(self, gathered: Gathered) -> Batch:
        root = self._journal.root
        return _patiently(
            lambda: book_calls(self._books, self._before, root, self._lines, gathered)
        )

    def _carry_out(self) -> list[Batch]:
        """Carry out the orders that wait, also those that a killed clerk left.

        Corrections come first: what is charged by the period counts what is right.
        """
        self._orders = False
        books, before, lines = self._books, self._before, self._lines
        made = [
            _patiently(lambda: book_correction(books, before, lines)),
            _patiently(lambda: book_dues(books, before, lines)),
        ]
        for batch in books.batches():
            if batch.documents:
                publish(books.notes(batch.number), lines.parent)
        return [batch for batch in made if batch is not None]


def _patiently(book: Callable[[], _Made]) -> _Made:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return book()
        except BooksMovedError:
            if attempt == ATTEMPTS_MAX:
                raise
    msg = "the last attempt returns or raises"
    raise AssertionError(msg)


def wait_for_clerk(books: Books, journal: Path, pause: Callable[[], object]) -> None:
    """Wait until the clerk that runs elsewhere has booked what is in the journal now.

    Raises: ClerkTakenError when it books nothing for ``PATIENCE_PAUSES`` pauses.
    """
    wait_until_booked(books, Journal(journal).frontier(books.cursors()), pause)


def wait_until_booked(books: Books, wanted: Mapping[str, int], pause: Callable[[], object]) -> None:
    """Wait until segments are booked up to where it is ``wanted``. Unit: bytes.

    Raises: ClerkTakenError when nothing is booked for ``PATIENCE_PAUSES`` pauses.
    """
    cursors = books.cursors()
    patience = PATIENCE_PAUSES
    while any(cursors.get(segment, 0) < end for segment, end in wanted.items()):
        if not patience:
            msg = "the clerk that works on this studio does not get on; see what it says"
            raise ClerkTakenError(msg)
        pause()
        before, cursors = cursors, books.cursors()
        patience = PATIENCE_PAUSES if cursors != before else patience - 1
