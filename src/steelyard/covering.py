"""Covering: a worker's cover joined with its store, for as long as something limits its calls.

What limits them may come, go and change while the worker serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from steelyard import app, machines, published
from steelyard.catalogue.documents import Edition
from steelyard.clerk import releasing
from steelyard.clerk.releasing import Keeper, Spending
from steelyard.dispatch import purses
from steelyard.dispatch.allowances import Allowances
from steelyard.dispatch.cover import KEPT_US, Cover
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.leasing import AllowanceStore, Notice, StoreAwayError
from steelyard.dispatch.paying import Paying
from steelyard.governance.keys import Key
from steelyard.metering.recovery import Recovery
from steelyard.metering.segments import DamageError
from steelyard.store import engines
from steelyard.store.allowances import SqlAllowances
from steelyard.store.roster import Roster
from steelyard.store.valkey_allowances import SCHEMES, ValkeyAllowances
from steelyard.studio import Studio
from steelyard.upstream.counting import EngineCounter, FileCounter, PromptCounter
from steelyard.upstream.transport import Transport
from steelyard.values import money
from steelyard.values.clock import Clock

LOOK_S = 0.25
"""How often a store is looked at that does not know this worker yet."""


ALLOWANCES_VARIABLE = "STEELYARD_ALLOWANCES"
"""The environment variable with the URL of where shared limits are kept, should it not be a file.
"""


def open_allowances(opened: Studio) -> AllowanceStore:
    """Open the store of shared limits: ``allowances.db`` in the folder, or the environment's.

    Raises: StoreAwayError when it can't be reached.
    """
    url = os.environ.get(ALLOWANCES_VARIABLE) or engines.sqlite_url(opened.root / "allowances.db")
    return ValkeyAllowances(url) if url.startswith(SCHEMES) else SqlAllowances(url)


def check_allowances(opened: Studio, clock: Clock) -> list[str]:
    """Where the store of shared limits and the journal disagree; nothing where nothing is limited.

    Raises: StoreAwayError, DamageError.
    """
    if not app.open_funds(opened).bound:
        return []
    store = open_allowances(opened)
    try:
        spending, since_us = _spending(opened), clock.wall_us() - KEPT_US
        journal, alone = machines.booked_journal(opened), not machines.share_journals()
        found = releasing.differences(store, journal, spending, since_us, complete=alone)
        return list(found)
    finally:
        store.close()


def open_keeper(opened: Studio, store: AllowanceStore, clock: Clock) -> Keeper:
    """Open who keeps a store of shared limits true to the journal."""
    stamp = purses.stamp(app.open_funds(opened))
    spending, elsewhere = _spending(opened), _Elsewhere(opened)
    return Keeper(store, opened.root / "journal", spending, stamp, clock, elsewhere)


@contextlib.contextmanager
def _database(opened: Studio) -> Generator[sa.Engine]:
    """The studio's database, for what a store of shared limits can't be without.

    Raises: StoreAwayError when it can't be reached.
    """
    try:
        engine = app.open_database(opened)
        try:
            yield engine
        finally:
            engine.dispose()
    except OperationalError as exc:
        raise StoreAwayError from exc


def _spending(opened: Studio) -> Spending:

    def editions(numbers: Iterable[int]) -> Mapping[int, Edition]:
        with _database(opened) as engine:
            found = app.open_books(engine).editions(numbers)
        return {number: each for number, (_, each) in found.items()}

    def known() -> Mapping[str, Key]:
        with _database(opened) as engine:
            return {each.id: each for each in (*app.open_keys(engine).all(), *opened.keys)}

    return Spending(app.open_funds(opened), known, editions)


class _Elsewhere:
    """The workers of all machines that have the studio's database, and what they have shipped."""

    def __init__(self, opened: Studio) -> None:
        self._opened = opened

    def roster(self) -> Mapping[str, bool]:
        """Every worker by name: whether it is dead, and all that it wrote is shipped."""
        with _database(self._opened) as engine:
            return Roster(engine).all()

    def bring(self, writer: str) -> Path:
        """Bring here what a writer has shipped; the folder with it."""
        with _database(self._opened) as engine:
            shared = machines.open_shared(self._opened, engine)
            if shared is None:
                return machines.booked_journal(self._opened)
            return shared.bring_writer(writer)


def open_counters(opened: Studio, transports: Mapping[str, Transport]) -> dict[str, PromptCounter]:
    """Who counts prompts, by model: its tokenizer's file, or the engine if only engines serve it.

    Raises: TokenizerError.
    """
    found: dict[str, PromptCounter] = {}
    for each in opened.edition.deployments:
        others = [every.kind for every in opened.edition.deployments if every.model == each.model]
        if {*others} == {"engine"}:
            found[each.model] = EngineCounter(transports[each.id])
    for model in opened.edition.models:
        if model.tokenizer is not None:
            found[model.id] = FileCounter(opened.root / model.tokenizer)
    return found


def _enter(opened: Studio, writer: str) -> None:
    """Enter a worker in the roster, before it leases anything. Raises: StoreAwayError."""
    with _database(opened) as engine:
        Roster(engine).enter(writer, machines.this_one(opened))


class Keeping:
    """Keeps the shared limits of what is published in a folder true to its journal."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._seen_ns = 0
        self._store: AllowanceStore | None = None
        self._keeper: Keeper | None = None

    def keep(self) -> Recovery | None:
        """Do what there is to do; what killed workers left that was closed for it, comes back."""
        try:
            self._follow()
            return None if self._keeper is None else self._keeper.keep()
        except (StoreAwayError, DamageError):
            return None

    def _follow(self) -> None:
        try:
            seen_ns = published.file_of(self._root).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if seen_ns == self._seen_ns:
            return
        opened = published.read(self._root).studio
        self._keeper = None
        if app.open_funds(opened).bound:
            self._store = self._store or open_allowances(opened)
            self._keeper = open_keeper(opened, self._store, self._clock)
        self._seen_ns = seen_ns


class Covering:
    """Sees to it that a desk's calls are paid from the purses of its snapshot."""

    def __init__(self, desk: Desk, writer: str) -> None:
        self._desk = desk
        self._writer = writer
        self._stamp = ""
        self._cover: Cover | None = None
        self._keeper: Keeper | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self, opened: Studio) -> None:
        """Have calls paid as the desk's snapshot says, from now on.

        Raises: StoreAwayError, when a store can't be opened the first time.
        """
        funds, desk = self._desk.snapshot.funds, self._desk
        stamp = purses.stamp(funds) if funds.bound else ""
        if stamp == self._stamp and funds.paid == (desk.paying is not None):
            return
        self._stamp = stamp
        if not funds.bound:
            desk.paying, desk.allowances = None, Allowances()
            return
        if self._cover is None:
            await asyncio.to_thread(_enter, opened, self._writer)
            store = await asyncio.to_thread(open_allowances, opened)
            cover = self._cover = Cover(store, self._writer, desk.clock, stamp, _tell)
            self._tasks = [
                asyncio.create_task(each())
                for each in (cover.keep, self._build_up, self._end_when_lost)
            ]
        self._keeper = await asyncio.to_thread(open_keeper, opened, self._cover.store, desk.clock)
        self._cover.turn_to(stamp)
        total_s, queue_s = desk.limits.total_s, desk.limits.queue_s
        desk.allowances = Allowances(self._cover, queue_s)
        desk.paying = Paying(self._cover, total_s, queue_s) if funds.paid else None

    async def aclose(self) -> None:
        """Give back what is not spent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._cover is not None:
            await self._cover.leave()
            self._cover.close()

    async def _build_up(self) -> None:
        """See to it that a store which is new or lost is built up, whoever else does so."""
        assert self._cover is not None
        while True:
            if not self._cover.met and self._keeper is not None:
                with contextlib.suppress(StoreAwayError, DamageError):
                    await asyncio.to_thread(self._keeper.keep)
            await asyncio.sleep(LOOK_S)

    async def _end_when_lost(self) -> None:
        """A worker that was taken for dead serves no more: another one begins."""
        assert self._cover is not None
        await self._cover.lost.wait()
        self._desk.failed.set()


def _tell(notice: Notice) -> None:
    percent = notice.ppm * _PERCENT // money.PER_MILLION
    spent, size = money.exact(notice.spent), money.exact(notice.size)
    sys.stderr.write(f"steelyard: {notice.purse}: {percent} % used, {spent} of {size}\n")


_PERCENT = 100
