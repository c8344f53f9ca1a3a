"""Cover: a call is admitted against the most that it can cost, in all its purses or in none.

What a worker has leased it gives to its calls without asking anybody. A call that finds no room
waits in turn, while more is leased and until its time is over; nothing is held meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from steelyard.dispatch.calls import CallerGoneError
from steelyard.dispatch.leasing import (
    AllowanceStore,
    Given,
    Notice,
    StoreAwayError,
    StoreClosedError,
    Wish,
    WriterReleasedError,
)
from steelyard.dispatch.purses import Purse
from steelyard.dispatch.slices import Slice
from steelyard.dispatch.waiting import Bounded, Drawn, Need, Payer, Short, Waiter
from steelyard.dispatch.windows import SLICES
from steelyard.values import money
from steelyard.values.clock import Clock, Past

BEAT_S: float = 1
"""How often a worker tells what is new, if only that it is there."""

TIGHT_S = 0.2
"""How often it does while it has of a purse of which nothing else is left: others may wait for it.
"""

POLL_S = 0.05
"""How often the store is asked for calls that wait."""

AWAY_S = 0.25
"""When a store that could not be asked is asked again."""

CALLS_MAX, WISHES_MAX = 64, 500
"""How many waiting calls, and how many purses, are asked for at once."""

KEPT_US = 8 * 24 * 3_600_000_000
"""How long after its window a purse is remembered: calls may end late, and clocks be wrong."""

SURE_US = 3_600_000_000
"""For how long a clock has to say that a window is over before it is believed."""

FRESH_US = 1_000_000
"""How long what the store said of a purse that is used up is good enough to refuse by."""

LAST_S = 0.5
"""For how long a call whose time is over waits for the store to be asked once more."""

RECALL_S = 1.2
"""How long a call waits for others to give back of a minute what they don't use: a beat, and more.
"""

SLICES_KEPT = 10_000
"""Purses beyond which those are looked for whose window is long over."""

Gone = Callable[[], Awaitable[None]]


class Cover:
    """A worker's slices of the purses that its calls draw on.

    ``stamp`` names what the purses are of; ``told`` hears of each notice, the first of its kind.
    """

    def __init__(
        self,
        store: AllowanceStore,
        writer: str,
        clock: Clock,
        stamp: str,
        told: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        self.store = store
        self._writer = writer
        self.clock = clock
        self._told = told
        self._stamp = stamp
        self.slices: dict[str, Slice] = {}
        self.forgot = 0
        """How often slices were forgotten: what was found before may not be among them any more."""
        self._waiters: list[Waiter] = []
        self._kick = asyncio.Event()
        self._asker = ThreadPoolExecutor(1, "allowances")
        """Where the store is asked: one question at a time, beside the calls."""
        self._turn = 0
        self._beaten_us = clock.monotonic_us()
        self._past = Past(clock, SURE_US)
        self._forget_at = SLICES_KEPT
        self.away = False
        self.met = False
        """Whether the store knows of this worker, and leases."""
        self.lost = asyncio.Event()
        """Set when the store has taken this worker for dead."""
        self.exchanges = 0
        """How often the store was asked."""

    def turn_to(self, stamp: str) -> None:
        """The purses are others from now on."""
        if stamp != self._stamp:
            self._stamp = stamp
            self.met = False
            self._kick.set()

    def slices_of(self, purses: Sequence[Purse]) -> tuple[Slice, ...]:
        """The slices of a call's purses; a purse that has another size now has it from now on."""
        if len(self.slices) >= self._forget_at:
            self._forget()
        found: list[Slice] = []
        for purse in purses:
            known = self.slices.get(purse.name)
            if known is None:
                known = self.slices[purse.name] = SLICES[purse.returns](purse)
            known.purse = purse
            found.append(known)
        return tuple(found)

    def draw(self, slices: Sequence[Slice], amount: int) -> Drawn | None:
        """Hold an amount in all purses, without waiting; None: there is no room in all."""
        for each in slices:
            short = each.granted - each.spent - each.held < amount or each.waiting
            if short and each.purse.stops:
                return None
        for each in slices:
            each.hold(amount)
            if each.granted - each.spent - each.held < each.low and each.may_ask:
                self._kick.set()
        return Drawn(slices, amount)

    async def wait(
        self, slices: Sequence[Slice], need: Need, patience_s: float, gone: Gone
    ) -> Drawn | Short:
        """Hold an amount as soon as there is room, the most if possible, at least the least.

        Raises: CallerGoneError.
        """
        stops = [each for each in slices if each.purse.stops]
        fresh_us = self.clock.monotonic_us() - FRESH_US
        for each in stops:
            if each.asked_us > fresh_us and each.purse.size - each.gone < need.last:
                return Short(each.purse, "spent", max(0, each.purse.size - each.gone))
        waiter = Payer(slices, need, asyncio.timeout(patience_s))
        await self._wait(waiter, gone)
        return waiter.answer or self._short(stops)

    async def ask(
        self, slices: Sequence[Slice], amounts: Sequence[int], patience_s: float, gone: Gone
    ) -> int | None:
        """Hold an amount in each as soon as there is room; when that was, None: there is none.

        Nobody waits longer than others take to give back what they don't use, or, if the store
        does not know this worker yet, ``patience_s``. Unit: monotonic µs. Raises: CallerGoneError.
        """
        wait_s = RECALL_S if self.met or self.away else patience_s
        waiter = Bounded(slices, amounts, asyncio.timeout(wait_s))
        await self._wait(waiter, gone)
        if not waiter.answered and not self.away:
            now_us = self.clock.monotonic_us()
            for each, amount in zip(slices, amounts, strict=True):
                if not each.fits(amount, now_us):
                    each.miss(amount, now_us)
        return waiter.taken_us

    def ask_for(self, each: Slice) -> None:
        """Lease more of a purse of which little is left."""
        if each.may_ask:
            self._kick.set()

    def freed(self) -> None:
        """Something is there again for which somebody waits."""
        self._kick.set()
        if self._waiters:
            self._serve()

    def add(self, drawn: Drawn, amount: int) -> bool:
        """Hold more for a call that goes on, if there is room now."""
        for each in drawn.slices:
            if each.purse.stops and each.room < amount:
                self._kick.set()
                return False
        for each in drawn.slices:
            each.hold(amount)
        drawn.amount += amount
        return True

    def join(self, drawn: Drawn, more: Drawn) -> None:
        """What a call has come to hold in two parts is one from now on."""
        drawn.amount += more.amount
        more.over = True

    def settle(self, drawn: Drawn, used: int) -> None:
        """A call is weighed and took so much; the rest is there for others. Once is enough."""
        if drawn.over:
            return
        drawn.over = True
        for each in drawn.slices:
            each.settle(drawn.amount, used)
            if each.waiting or each.sought:
                self._kick.set()
        if self._waiters:
            self._serve()

    async def keep(self) -> None:
        """Lease, settle and give back, as long as the worker lives."""
        while True:
            tight = any(each.is_last for each in self.slices.values())
            if not self._kick.is_set():
                pause_s = POLL_S if self._waiters else TIGHT_S if tight else BEAT_S
                await _set_within(self._kick, pause_s)
            self._kick.clear()
            beat = self._beat()
            wishes = self._wishes()
            if wishes or beat or not self.met:
                await self._exchange(wishes)
            if self.away:
                await asyncio.sleep(AWAY_S)

    async def leave(self) -> None:
        """Give back what is not held, when the worker ends."""
        for each in self.slices.values():
            each.sought = True
        if wishes := self._wishes():
            await self._exchange(wishes)

    def close(self) -> None:
        """Let go of the store."""
        self._asker.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    def _beat(self) -> bool:
        """Whether it is time to say something, if only that we are here.

        Whoever does not hear that a store is built up again keeps it from being so.
        """
        now_us = self.clock.monotonic_us()
        passed_us = now_us - self._beaten_us
        if passed_us < BEAT_S * 1_000_000:
            return False
        self._beaten_us = now_us
        self._past.look()
        for each in self.slices.values():
            each.beat(passed_us)
        return True

    def _wishes(self) -> list[tuple[Slice, Wish]]:
        """What there is to say, by the names of the purses: the order in which they are locked."""
        waiting: dict[str, list[int]] = {}
        now_us = self.clock.monotonic_us()
        for name, each in self.slices.items():
            each.move_on(now_us)
            if each.is_missing(now_us):
                waiting[name] = [each.short_of]
        for waiter in self._waiters[:CALLS_MAX]:
            for each in waiter.slices:
                waiting.setdefault(each.purse.name, []).append(waiter.wanted(each))
        found = ((each, each.wish(waiting.get(name, ()))) for name, each in self.slices.items())
        said = [(each, wish) for each, wish in found if wish is not None]
        if len(said) > WISHES_MAX:
            said = sorted(said, key=lambda p: (not p[1].short, p[0].asked_us))[:WISHES_MAX]
        return sorted(said, key=lambda pair: pair[1].purse)

    async def _exchange(self, asked: list[tuple[Slice, Wish]]) -> None:
        self._turn += 1
        self.exchanges += 1
        for each, wish in asked:
            each.send(wish)
        loop = asyncio.get_running_loop()
        late = [each for each in self._waiters if each.is_late]
        try:
            found = await loop.run_in_executor(self._asker, self._ask, asked)
        except StoreAwayError:
            self.away = True
            return
        except WriterReleasedError:
            self.lost.set()
            self.away = True
            return
        self.away = found is None
        if found is not None and not self.met:
            for waiter in self._waiters:
                waiter.hurry(loop.time() + RECALL_S)
        self.met = found is not None
        asked_us = self.clock.monotonic_us()
        for (each, wish), given in zip(asked, found or (), strict=False):
            each.take(wish, given, asked_us)
            if each.sought and each.room >= each.purse.lot and not each.waiting:
                self._kick.set()  # what others wait for goes back now
        for waiter in self._waiters:
            waiter.asked = not self.away
        self._serve()
        for waiter in (each for each in late if each in self._waiters):
            waiter.tell()

    def _ask(self, asked: Sequence[tuple[Slice, Wish]]) -> Sequence[Given] | None:
        """What the store gives; None, from one that is being built up, which is told what we have.

        In the store's thread. Raises: StoreAwayError, WriterReleasedError.
        """
        try:
            wishes = [wish for _, wish in asked]
            found = self.store.exchange(self._stamp, self._writer, self._turn, wishes)
            for (each, _), given in zip(asked, found, strict=False):
                self._notice(each, given.spent * each.purse.lot)
        except StoreClosedError:
            slices = tuple(self.slices.items())
            held = {name: (each.lease(), each.purse.until_us) for name, each in slices}
            self.store.join(self._writer, self._turn, held)
            return None
        return found

    async def _wait(self, waiter: Waiter, gone: Gone) -> None:
        """Wait until a call was told something, or its time is over. Raises: CallerGoneError."""
        self._waiters.append(waiter)
        for each in waiter.stops:
            each.waiting += 1
        self._kick.set()
        ended = False
        try:
            ended = await _over(waiter.time, gone)
            if ended and isinstance(waiter, Payer) and not (waiter.answered or self.away):
                waiter.is_late, waiter.time = True, asyncio.timeout(LAST_S)
                self._kick.set()
                ended = await _over(waiter.time, gone)
        finally:
            self._leave(waiter)
            if not ended:
                waiter.undo(self.clock.monotonic_us())
                self._serve()
        if not ended:
            raise CallerGoneError

    def _serve(self) -> None:
        """Let those go on for whom there is room, none before one that waits for the same."""
        blocked: set[str] = set()
        now_us = self.clock.monotonic_us()
        for waiter in tuple(self._waiters):
            names = {each.purse.name for each in waiter.slices}
            if not names & blocked and waiter.serve(now_us):
                self._leave(waiter)
            else:
                blocked |= names

    def _short(self, stops: Sequence[Slice]) -> Short:
        """What a call has waited for in vain."""
        tight = min(stops, key=lambda each: each.room)
        return Short(tight.purse, "away" if self.away else "held", max(0, tight.room + tight.left))

    def _leave(self, waiter: Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            for each in waiter.stops:
                each.waiting -= 1
            if self._waiters:
                self._kick.set()

    def _notice(self, each: Slice, spent: int) -> None:
        """Tell that so much of a purse is used, should nobody have told it yet."""
        purse = each.purse
        for ppm in purse.notices_ppm:
            if each.noticed < ppm and spent * money.PER_MILLION >= purse.size * ppm:
                each.noticed = ppm
                notice = Notice(purse.name, ppm, self.clock.wall_us(), spent, purse.size)
                if self.store.notice(notice):
                    self._told(notice)

    def _forget(self) -> None:
        """Forget purses whose window is long over."""
        before_us = self._past.until_us - KEPT_US
        for name, each in tuple(self.slices.items()):
            lasts = each.purse.returns == "never" and each.purse.until_us >= before_us
            if each.over and not lasts:
                del self.slices[name]
                self.forgot += 1
        self._forget_at = max(SLICES_KEPT, 2 * len(self.slices))


async def _over(time: asyncio.Timeout, gone: Gone) -> bool:
    """Whether a time is over before a caller is gone."""
    try:
        async with time:
            await gone()
    except TimeoutError:
        return True
    return False


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
