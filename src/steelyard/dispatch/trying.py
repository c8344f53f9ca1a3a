"""Trying: the attempts of one call, until one answers or there is nobody left to ask.

Another deployment is asked at once; the same one again only after a pause. Nothing is tried again
once the caller has had its first byte.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from steelyard.catalogue.routes import Route
from steelyard.dispatch import breaker, records, refusals, retrying
from steelyard.dispatch.attempts import Flight, Race
from steelyard.dispatch.cache import Copy
from steelyard.dispatch.calls import Caller
from steelyard.dispatch.course import Course
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.seats import Seats
from steelyard.dispatch.snapshot import Choice
from steelyard.dispatch.stages import Attempt, Call, End
from steelyard.dispatch.vitals import Vitals
from steelyard.metering.journal import JournalError, JournalFullError
from steelyard.values.usage import Try

ATTEMPTS_MAX = 3
"""Attempts of a call whose route says nothing of them."""

HOLD_S_MAX = 60
"""How long a deployment that asks for it is left alone at most."""


class Made(NamedTuple):
    """How a call was made: the attempt that counts, its end, and the attempts that don't.

    Unit: ``waited_us`` µs that others than we took.
    """

    choice: Choice
    attempt: Attempt
    end: End
    tries: tuple[Try, ...]
    waited_us: int
    copy: Copy | None


class _Landed(NamedTuple):
    choice: Choice
    attempt: Attempt
    flight: Flight
    end: End


class Trying:
    """One call at one deployment after the other."""

    def __init__(
        self,
        desk: Desk,
        caller: Caller,
        call: Call,
        route: Route,
        ways: Iterator[Choice],
        *,
        copies: bool,
    ) -> None:
        self._desk = desk
        self._caller = caller
        self._call = call
        self._route = route
        self._ways = ways
        self._copies = copies
        self._asked: list[Choice] = []
        self._waits_s: dict[str, int | None] = {}
        self._tries: list[Try] = []
        self._course = Course()
        self._seats = Seats(desk.places)

    async def make(self) -> Made | Refusal:
        """Make the call.

        Refuses: overloaded, journal_full, journal_failed, before anybody was asked.
        Raises: CallerGoneError, while it waits for a place.
        """
        hedge_ms = self._route.hedge_ms
        try:
            choice = next(self._ways)
            if not self._seats.take(choice):
                free = await self._wait(choice)
                if free is None:
                    return refusals.overloaded()
                choice = free
            self._asked.append(choice)
            self._desk.router.budget.earn()
            refusal = announce(self._desk, attempt := self._attempt(choice))
            if refusal is not None:
                return refusal
            while True:
                if hedge_ms is None:
                    landed = await self._fly(choice, attempt, None)
                else:
                    landed = await self._race(choice, attempt, hedge_ms)
                found = None if landed.end.outcome == "completed" else await self._following(landed)
                if found is None:
                    return self._made(landed)
                choice, attempt = found
        finally:
            self._seats.leave_all()

    async def _wait(self, full: Choice) -> Choice | None:
        """The deployment that has a place next; None when it took too long."""
        clock = self._desk.clock
        began_us, ticket = clock.monotonic_us(), self._desk.ticket(self._call.key)
        found = await self._seats.next(full, self._ways, ticket, self._caller.gone)
        self._course.waited_us = clock.monotonic_us() - began_us
        if found is None:
            return None
        choice, self._ways = found
        return choice

    def _made(self, last: _Landed) -> Made:
        return Made(
            last.choice,
            last.attempt,
            last.end,
            tuple(sorted(self._tries, key=lambda each: each.attempt)) if self._tries else (),
            self._course.waited_us,
            last.flight.copy,
        )

    async def _fly(self, choice: Choice, attempt: Attempt, race: Race | None) -> _Landed:
        desk, seen = self._desk, self._desk.router.of(choice.deployment.id)
        flight = Flight(
            desk, self._caller, attempt, self._course, Copy() if self._copies else None, race
        )
        if race is not None:
            race.flights.append(flight)
        seen.enter(flight.opened_us)
        try:
            end = await flight.fly()
        finally:
            seen.leave()
            if race is not None:
                race.flights.remove(flight)
            if choice.deployment.capacity is not None:
                self._seats.leave(choice)
        note(seen, attempt, end, flight.opened_us + end.taken_us)
        if race is None:
            self._course.waited_us += end.waited_us
        return _Landed(choice, attempt, flight, end)

    async def _race(self, choice: Choice, attempt: Attempt, hedge_ms: int) -> _Landed:
        """Ask a second deployment when the first has nothing to say for a while."""
        race, began_us = Race(), self._desk.clock.monotonic_us()
        before_us = self._course.waited_us
        flying = {asyncio.create_task(self._fly(choice, attempt, race))}
        try:
            await asyncio.wait(flying, timeout=hedge_ms / 1000)
            if race.winner is None and not any(each.done() for each in flying):
                self._course.waited_us = before_us + self._desk.clock.monotonic_us() - began_us
                second = self._second(attempt)
                if second is not None:
                    flying.add(asyncio.create_task(self._fly(*second, race)))
            return await self._first_home(flying)
        finally:
            for each in flying:
                each.cancel()
            self._course.waited_us = before_us + self._desk.clock.monotonic_us() - began_us

    async def _first_home(self, flying: set[asyncio.Task[_Landed]]) -> _Landed:
        """Who answers, or who failed last; the others are attempts that did not become it."""
        landed: list[_Landed] = []
        pending = flying
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            landed += [each.result() for each in done]
        last = landed[-1]
        chosen = next((each for each in landed if not _is_over(each.end)), last)
        chosen = next((each for each in landed if each.end.outcome == "completed"), chosen)
        chosen = next((each for each in landed if each.end.begun), chosen)
        self._tries += [
            records.tried(each.attempt, each.end) for each in landed if each is not chosen
        ]
        return chosen

    def _second(self, first: Attempt) -> tuple[Choice, Attempt] | None:
        """The attempt that is started beside the first, which may never end."""
        choice = next(self._ways, None)
        if choice is None or not self._seats.has_room(choice):
            return None
        if not self._desk.router.budget.spend():
            return None
        self._asked.append(choice)
        attempt = self._attempt(choice)
        if self._announce(attempt, (*self._tries, records.tried(first, None))) is not None:
            return None
        self._seats.take(choice)
        return choice, attempt

    async def _following(self, landed: _Landed) -> tuple[Choice, Attempt] | None:
        """The next attempt, announced, after its pause; None when this one was the last."""
        end, desk = landed.end, self._desk
        refusal = end.refusal
        if end.begun or end.outcome != "failed" or refusal is None:
            return None
        most = ATTEMPTS_MAX if self._route.retries is None else self._route.retries + 1
        if self._course.attempts >= most or not retrying.is_retried(refusal):
            return None
        self._waits_s[landed.choice.deployment.id] = refusal.retry_after_s
        found = self._next()
        if found is None or not desk.router.budget.spend():
            return None
        choice, pause_us = found
        arrival = self._call.arrival
        now_us = desk.clock.monotonic_us()
        if now_us + pause_us >= arrival.started_us + int(desk.limits.total_s * 1_000_000):
            return None
        if pause_us and not await self._pause(pause_us):
            return None
        if not self._seats.has_room(choice):
            return None
        attempt = self._attempt(choice)
        tried = records.tried(landed.attempt, end)
        if self._announce(attempt, (*self._tries, tried)) is not None:
            return None
        self._seats.take(choice)
        self._tries.append(tried)
        return choice, attempt

    def _next(self) -> tuple[Choice, int] | None:
        """Whom to ask next, and after which pause. Unit: µs."""
        now_us, router = self._desk.clock.monotonic_us(), self._desk.router
        for choice in self._ways:
            admits = breaker.admits(router.of(choice.deployment.id).breaker, now_us)
            if admits and self._seats.has_room(choice):
                self._asked.append(choice)
                return choice, 0
        if self._route.retries is None:
            return None
        times = Counter(each.deployment.id for each in self._asked)
        for choice in sorted(self._asked, key=lambda each: times[each.deployment.id]):
            name = choice.deployment.id
            bits = self._desk.random_bits()
            pause_us = retrying.pause_us(times[name], self._waits_s.get(name), bits)
            if pause_us is not None and breaker.admits(router.of(name).breaker, now_us + pause_us):
                self._asked.append(choice)
                return choice, pause_us
        return None

    async def _pause(self, pause_us: int) -> bool:
        """Wait; False when the caller hangs up meanwhile, or the worker stops."""
        cut, gone = self._desk.cut.wait(), self._caller.gone()
        waiting = [asyncio.ensure_future(each) for each in (cut, gone)]
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=pause_us / 1_000_000, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waiting:
                each.cancel()
        self._course.waited_us += pause_us
        return not done

    def _attempt(self, choice: Choice) -> Attempt:
        self._course.attempts += 1
        return Attempt(self._call, choice.deployment, self._course.attempts)

    def _announce(self, attempt: Attempt, tries: tuple[Try, ...] = ()) -> Refusal | None:
        """Write that an attempt begins, or why it can't."""
        refusal = announce(self._desk, attempt, tries)
        if refusal is not None:
            self._course.attempts -= 1
        return refusal


def announce(desk: Desk, attempt: Attempt, tries: tuple[Try, ...] = ()) -> Refusal | None:
    """Write that an attempt begins, or why it can't. Refuses: journal_full, journal_failed."""
    try:
        desk.journal.announce(records.announcement(attempt, tries))
    except JournalFullError:
        return refusals.journal_full()
    except JournalError:
        desk.failed.set()
        return refusals.journal_failed()
    return None


def note(seen: Vitals, attempt: Attempt, end: End, now_us: int) -> None:
    """Remember of a deployment how an attempt there went."""
    if end.outcome == "completed":
        seen.breaker = breaker.answered(seen.breaker, now_us)
        output = end.meters.get("output_tokens", 0) + end.meters.get("reasoning_tokens", 0)
        if attempt.ask.streamed:
            seen.measure(end.waited_us, end.taken_us - end.waited_us, output, now_us)
        else:
            seen.measure(None, end.taken_us, output, now_us)
    elif end.outcome == "failed" and (end.refusal is None or retrying.is_fault(end.refusal)):
        seen.breaker = breaker.failed(seen.breaker, now_us)
    else:
        seen.breaker = breaker.left(seen.breaker)
    wait_s = None if end.refusal is None else end.refusal.retry_after_s
    if wait_s:
        seen.breaker = breaker.held(seen.breaker, now_us + min(wait_s, HOLD_S_MAX) * 1_000_000)


def _is_over(end: End) -> bool:
    """Whether an attempt says nothing to the caller: it lost, or may go better elsewhere."""
    if end.outcome == "cancelled":
        return True
    return end.refusal is not None and retrying.is_retried(end.refusal)
