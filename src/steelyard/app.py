"""App: the composition root. Small functions that open things and join the rooms."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard import machines, published, studio
from steelyard.published import Published
from steelyard.studio import Catalogue, Studio
from steelyard.values.clock import Clock

if TYPE_CHECKING:
    import sqlalchemy as sa

    from steelyard.catalogue.phrases import Language
    from steelyard.clerk.run import Clerk, Outcome
    from steelyard.dispatch.purses import Funds
    from steelyard.dispatch.snapshot import Snapshot
    from steelyard.governance.funding import Funding
    from steelyard.governance.keys import Key
    from steelyard.ledger.chain import Batch
    from steelyard.metering.journal import JournalWriter
    from steelyard.rating.explaining import Explained
    from steelyard.store.books import Books
    from steelyard.store.closings import Closings
    from steelyard.store.keys import Keys
    from steelyard.values.facts import Fact

DATABASE_VARIABLE = "STEELYARD_DATABASE"
"""The environment variable with the URL of a PostgreSQL database, should the books be in one."""

_LOOK_S = 0.2
_WRITER_BYTES = 8


def load_studio(folder: Path, *, serving: bool = False) -> Studio:
    """Read and check a studio; ``serving`` also looks for every secret that it names.

    Raises: StudioFaults.
    """
    return studio.load(folder, os.environ if serving else None)


def load_catalogue(folder: Path) -> Catalogue:
    """The models and price books of a studio; of Steelyard alone where there is no studio.

    Raises: StudioFaults.
    """
    if not (folder / studio.MAIN_FILE).exists():
        return studio.packaged()
    edition = load_studio(folder).edition
    return Catalogue(models=edition.models, books=edition.books, holidays=edition.holidays)


def open_database(opened: Studio) -> sa.Engine:
    """Open the database of a studio: ``steelyard.db`` in its folder, or the environment's.

    Raises: SchemaError; sqlalchemy.exc.OperationalError when it can't be reached.
    """
    from steelyard.store import engines

    url = os.environ.get(DATABASE_VARIABLE) or engines.sqlite_url(opened.root / "steelyard.db")
    return engines.open_engine(url)


def open_keys(engine: sa.Engine) -> Keys:
    """Open the issued keys."""
    from steelyard.store.keys import Keys

    return Keys(engine)


def open_books(engine: sa.Engine) -> Books:
    """Open the books."""
    from steelyard.store.books import Books

    return Books(engine)


def open_closings(opened: Studio, engine: sa.Engine) -> Closings:
    """Open the closings, and the sums of the lines that they are drawn up from."""
    from steelyard.store.closings import Closings

    return Closings(engine, opened.root / "lines")


def record_edition(opened: Studio, engine: sa.Engine, clock: Clock) -> int:
    """Record the studio's documents as they stand; the number by which records name them."""
    from steelyard.store import editions

    return editions.record_edition(engine, opened.edition, clock.wall_us())


def open_clerk(opened: Studio, engine: sa.Engine, clock: Clock) -> Clerk:
    """Open the clerk of one machine; it is for whoever has claimed ``clerk_lock``."""
    from steelyard.clerk.run import Clerk

    return Clerk(
        open_books(engine),
        opened.root / "journal",
        opened.root / "lines",
        clock,
        opened.settings.clerk.batch_calls_max,
    )


def open_import(opened: Studio, clock: Clock) -> JournalWriter:
    """Open the journal for one import; what it wrote is on the disk once it is closed.

    Raises: JournalError.
    """
    return _open_journal(opened, clock, "import-")


def open_facts(opened: Studio, clock: Clock) -> JournalWriter:
    """Open the journal for facts that are written down by hand; the same holds.

    Raises: JournalError.
    """
    from steelyard.metering import telling

    return _open_journal(opened, clock, telling.WRITER_PREFIX)


def _open_journal(opened: Studio, clock: Clock, prefix: str) -> JournalWriter:
    from steelyard.metering.journal import JournalWriter

    return JournalWriter(
        opened.root / "journal",
        f"{prefix}{secrets.token_hex(_WRITER_BYTES)}",
        durability="disk",
        clock=clock,
        segment_bytes_max=opened.settings.journal.segment_bytes_max,
    )


def clerk_lock(opened: Studio) -> Path:
    """The file that the one clerk of a studio has locked."""
    return opened.root / "run" / "clerk.lock"


def book_journal(
    opened: Studio, engine: sa.Engine, clock: Clock, booked: Callable[[Batch], None]
) -> Outcome | None:
    """Book what is in the journal; None when a clerk that was running has done it.

    Raises: ClerkTakenError when that clerk does not get on; BooksMovedError; LedgerError.
    """
    from steelyard.clerk import run

    shared = machines.open_shared(opened, engine)
    if shared is not None:
        return shared.book(clock, booked)
    try:
        with run.claim(clerk_lock(opened)):
            clerk = open_clerk(opened, engine, clock)
            clerk.recover()
            return clerk.drain(booked)
    except run.ClerkTakenError:
        journal = opened.root / "journal"
        run.wait_for_clerk(open_books(engine), journal, lambda: time.sleep(_LOOK_S))
        return None


def explain_call(
    opened: Studio, engine: sa.Engine, call_id: bytes, language: Language
) -> Explained | None:
    """How a booked call's price came about; None when it is not booked.

    Raises: DamageError when the journal can't be read any more; OSError for the lines.
    """
    from steelyard.clerk import batch, bought, parquet
    from steelyard.rating import explaining

    books = open_books(engine)
    booked = books.booked_in(call_id)
    if booked is None:
        return _explain_due(opened, books, call_id, language)
    number, ranges = booked
    shared = machines.open_shared(opened, engine)
    if shared is not None:
        shared.bring()
    records = batch.reread(machines.booked_journal(opened), ranges).records
    record = next(each for each in records if each.call_id == call_id)
    found = books.editions([record.edition]).get(record.edition)
    known = {record.edition: opened.edition if found is None else found[1]}
    edition = bought.documents(
        known,
        lambda: [each.fact for each in books.facts() if each.batch <= number],
        record.at_us,
    )[record.edition]
    lines = parquet.lines_of(opened.root / "lines", number, call_id)
    explained = explaining.explain(record, edition, lines, language)
    for each in books.batches():
        if each.kind == "correction":
            more = parquet.lines_of(opened.root / "lines", each.number, call_id)
            explained = explaining.corrected(explained, each.number, more, language)
    return explained


def _explain_due(
    opened: Studio, books: Books, call_id: bytes, language: Language
) -> Explained | None:
    """How what is charged by the period came about; None when nothing of this id is booked."""
    from steelyard.clerk import parquet
    from steelyard.rating.periods import explaining
    from steelyard.values import events

    for batch in books.batches():
        if batch.kind != "period":
            continue
        lines = parquet.lines_of(opened.root / "lines", batch.number, call_id)
        if lines:
            number = batch.editions[-1][0]
            edition = books.editions([number])[number][1]
            told = (
                events.of_fact(each.fact) for each in books.facts() if each.batch < batch.number
            )
            happened = [each for each in told if each and each.contract == lines[0].contract]
            return explaining.explain(lines, edition, happened, language)
    return None


def open_funds(opened: Studio, engine: sa.Engine | None = None) -> Funds:
    """What calls draw on; with what was paid in and raised, as far as it is booked."""
    import msgspec

    from steelyard.dispatch import purses

    found = purses.funds(opened.edition, opened.budgets, opened.limits)
    if engine is None or not found.paid:
        return found
    told = open_funding(engine)
    return msgspec.structs.replace(found, paid_pico=told.paid_pico, raised_pico=told.raised_pico)


def open_funding(engine: sa.Engine) -> Funding:
    """What was paid in, and what was asked for and decided, as far as it is booked."""
    from steelyard.governance import funding

    return funding.fold(each.fact for each in open_books(engine).facts(funding.KINDS))


def say(opened: Studio, engine: sa.Engine, clock: Clock, fact: Fact) -> bool:
    """Have a fact booked; whether it is new. One that was said before is left as it was.

    Raises: ClerkTakenError, JournalError, BooksMovedError; LedgerError.
    """
    if any(each.fact.fact_id == fact.fact_id for each in open_books(engine).facts()):
        return False
    with open_facts(opened, clock) as journal:
        journal.fact(fact)
    book_journal(opened, engine, clock, lambda _: None)
    return True


def publish(opened: Studio, clock: Clock) -> int:
    """Record the studio's documents and leave the studio for the workers; the edition's number.

    Raises: SchemaError; sqlalchemy.exc.OperationalError when the database can't be reached.
    """
    engine = open_database(opened)
    try:
        number = record_edition(opened, engine, clock)
    finally:
        engine.dispose()
    published.publish(Published(number, opened))
    return number


class Snapshots:
    """What a worker serves by: a studio that was published, and the keys that were issued.

    Of two keys with one secret, the one that the studio's file declares holds.
    """

    def __init__(self, given: Published) -> None:
        """Look at the keys.

        Raises: SchemaError; sqlalchemy.exc.OperationalError when the database can't be reached.
        """
        self._given = given
        self._engine = open_database(given.studio)
        self._seen = 0
        self._issued: dict[str, Key] = {}
        self._snapshot: Snapshot | None = None

    async def watch(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Call ``changed`` when keys have changed since they were looked at; never return."""
        from steelyard.store import changes

        await changes.watch(self._engine, lambda: self._seen, changed)

    def take(self, given: Published | None = None) -> Snapshot:
        """What holds now, by what is published now. Raises: sqlalchemy.exc.OperationalError."""
        from steelyard.dispatch import snapshot

        self._given = given or self._given
        studio = self._given.studio
        self._snapshot = snapshot.take(
            self._given.edition,
            studio.edition,
            self._keys(),
            studio.routes,
            open_funds(studio, self._engine),
        )
        return self._snapshot

    def renewed(self) -> Snapshot:
        """What holds now that keys have changed. Raises: sqlalchemy.exc.OperationalError."""
        from steelyard.dispatch import snapshot

        assert self._snapshot is not None
        studio = self._given.studio
        self._snapshot = snapshot.with_keys(self._snapshot, studio.edition, self._keys())
        return self._snapshot

    def funded(self) -> Snapshot:
        """What holds now, as far as it is booked what was paid in and raised.

        Raises: sqlalchemy.exc.OperationalError.
        """
        import msgspec

        assert self._snapshot is not None
        funds = open_funds(self._given.studio, self._engine)
        if funds != self._snapshot.funds:
            self._snapshot = msgspec.structs.replace(self._snapshot, funds=funds)
        return self._snapshot

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _keys(self) -> tuple[Key, ...]:
        seen, changed = open_keys(self._engine).changed(self._seen)
        before = self._issued if 0 < self._seen <= seen else {}
        self._issued = {**before, **{key.id: key for key in changed}}
        self._seen = seen
        return (*self._given.studio.keys, *self._issued.values())
