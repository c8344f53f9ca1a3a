"""The desk: what a worker serves calls with, and the calls that it is serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from steelyard.dispatch.allowances import Allowances, LocalAllowances
from steelyard.dispatch.cache import Cache
from steelyard.dispatch.observing import Observer
from steelyard.dispatch.snapshot import Snapshot
from steelyard.dispatch.windows import Now
from steelyard.upstream.transport import Transport
from steelyard.values.clock import Clock
from steelyard.values.usage import Announcement, UsageRecord


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and policy of calls. Unit: seconds, calls."""

    total_s: float = 600
    concurrency_max: int = 1024
    on_hangup: Literal["cancel", "drain"] = "cancel"


class Journal(Protocol):
    """Where calls are remembered; ``metering.journal.JournalWriter`` is one."""

    def announce(self, announcement: Announcement) -> None:
        """Keep an announcement. Raises: JournalFullError, JournalError."""
        ...

    def record(self, record: UsageRecord) -> None:
        """Keep a record. Raises: JournalError."""
        ...

    async def settled(self) -> None:
        """Wait until all of that is as safe as was promised. Raises: JournalError."""
        ...


class Desk:
    """What a worker serves with. ``transports`` is by deployment.

    ``cuts`` ends each attempt under way; ``failed`` is set when the journal takes nothing more.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        transports: Mapping[str, Transport],
        journal: Journal,
        clock: Clock,
        random_bits: Callable[[], int],
        limits: Limits,
        observer: Observer | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.transports = transports
        self.journal = journal
        self.clock = clock
        self.random_bits = random_bits
        self.limits = limits
        self.observer = observer
        self.cache = Cache() if cache is None else cache
        self.allowances: Allowances = LocalAllowances()
        self.in_flight = 0
        self.draining = False
        self.failed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.cuts: set[Callable[[], None]] = set()

    def now(self) -> Now:
        """The moment, on both clocks."""
        return Now(self.clock.wall_us(), self.clock.monotonic_us())

    def enter(self) -> None:
        """One call more."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """One call less."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Take no new calls, and wait for those in flight; False when some were cut off."""
        self.draining = True
        if await self._empty(seconds):
            return True
        for cut in tuple(self.cuts):
            cut()
        await self._empty(_CUT_S)
        return False

    async def _empty(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


_CUT_S = 2.0
"""How long calls that were cut off may take to be recorded."""
