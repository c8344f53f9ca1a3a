"""The desk: what a worker serves calls with, and the calls that it is serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from steelyard.dispatch.allowances import Allowances
from steelyard.dispatch.cache import Cache
from steelyard.dispatch.calls import Caller
from steelyard.dispatch.hangup import Watch
from steelyard.dispatch.observing import Observer
from steelyard.dispatch.paying import Paying
from steelyard.dispatch.places import Places, Ticket
from steelyard.dispatch.router import Router
from steelyard.dispatch.snapshot import Snapshot
from steelyard.dispatch.stopping import Booked
from steelyard.governance.keys import Key
from steelyard.upstream.counting import PromptCounter
from steelyard.upstream.transport import Transport
from steelyard.values.clock import Clock
from steelyard.values.usage import Announcement, UsageRecord


class Limits(NamedTuple):
    """Bounds and policy of calls. Unit: seconds, calls; ``queue_*`` of those that wait."""

    total_s: float = 600
    concurrency_max: int = 1024
    queue_calls_max: int = 0
    queue_s: float = 10
    on_hangup: Literal["cancel", "drain"] = "cancel"
    retry_percent: int = 20


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

    ``watch`` has the attempts under way; ``shadows`` are the copies of calls; ``cut`` is set when
    what is under way is cut off, ``failed`` when the journal takes nothing more.
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
        self.allowances = Allowances()
        self.counters: Mapping[str, PromptCounter] = {}
        """Who counts prompts, by model, where somebody can."""
        self.paying: Paying | None = None
        """How calls are paid whose cover is limited; None: no call's is."""
        self.booked: Booked | None = None
        """What the books have counted of contracts that stop calls; None: none does."""
        self.router = Router(limits.retry_percent)
        self.places = Places(limits.queue_calls_max, limits.queue_s)
        self.draining = False
        self.failed = asyncio.Event()
        self.cut = asyncio.Event()
        self._idle = asyncio.Event()
        self.watch = Watch()
        self.shadows: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """How many calls are being served."""
        return self.places.taken(WORKER)

    def ticket(self, key: Key) -> Ticket:
        """As whose a call waits."""
        weight = self.snapshot.weights.get(key.customer, 1)
        return Ticket(key.customer, weight, key.priority)

    def takes(self) -> bool:
        """Take in a call, if there is a place for it now."""
        return not self.draining and self.places.takes(WORKER, self.limits.concurrency_max)

    async def admit(self, key: Key, caller: Caller) -> bool:
        """Take in a call, now or when there is a place. Raises: CallerGoneError."""
        if self.draining:
            return False
        size = {WORKER: self.limits.concurrency_max}
        return await self.places.enter(WORKER, size, self.ticket(key), caller.gone) is not None

    def enter(self) -> None:
        """One call more, whatever there is room for."""
        self.places.take(WORKER)

    def leave(self) -> None:
        """One call less."""
        self.places.leave(WORKER, WORKER)
        if self.draining and self.in_flight == 0:
            self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Take no new calls, and wait for those in flight; False when some were cut off."""
        self.draining = True
        self.places.close()
        if await self._empty(seconds):
            return True
        self.cut.set()
        self.watch.interrupt()
        await self._empty(_CUT_S)
        return False

    async def _empty(self, seconds: float) -> bool:
        if self.in_flight == 0:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


WORKER: Final = "worker"
"""The place that every call takes."""

_CUT_S = 2.0
"""How long calls that were cut off may take to be recorded."""
