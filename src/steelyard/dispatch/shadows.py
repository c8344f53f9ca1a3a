"""Shadows: copies of calls for another deployment, whose answers nobody sees and we pay for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steelyard.catalogue.routes import Part
from steelyard.dispatch import breaker, records, routing, snapshot
from steelyard.dispatch.attempts import Flight
from steelyard.dispatch.calls import Arrival, Ask, CallerGoneError, Headers
from steelyard.dispatch.course import Course
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.stages import Attempt, Call
from steelyard.dispatch.standing import Standing
from steelyard.dispatch.trying import announce, note
from steelyard.metering.journal import JournalError
from steelyard.values import ids

AT_ONCE_MAX = 16
"""Copies under way in a worker; beyond them calls have none."""


class Nobody:
    """The caller of a copy: it asks for nothing more, and takes whatever comes."""

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival

    async def ask(self) -> Ask | Refusal:
        """Never: what is asked is known. Raises: CallerGoneError."""
        raise CallerGoneError

    def tell(self, standing: Standing) -> None:
        """A copy has no limits."""

    def note(self, headers: Headers) -> None:
        """A copy has no head."""

    def begin(self, headers: Headers = "") -> None:
        """Nobody waits for it."""

    async def send(self, data: bytes) -> None:
        """Nobody reads it."""

    ready = True

    def send_now(self, data: bytes) -> None:
        """Nobody reads it now either."""

    async def fail(self, refusal: Refusal) -> None:
        """Nobody minds."""

    def status_of(self, refusal: Refusal) -> int:
        """Nobody sees it."""
        return refusal.status or 0

    async def gone(self) -> None:
        """Nobody goes away."""
        await asyncio.Event().wait()

    def when_gone(self, told: Callable[[], None]) -> Callable[[], object]:
        """Never call it."""
        return told


def cast(desk: Desk, call: Call, shadow: Part) -> None:
    """Start the copy of a call, should it be of the share; the call does not wait for it."""
    if not routing.has_share(shadow, call.arrival.call_id):
        return
    arrival = call.arrival
    deployment = snapshot.find(desk.snapshot, call.key, shadow.deployment, arrival.at_us)
    now_us, seen = desk.clock.monotonic_us(), desk.router.of(shadow.deployment)
    if (
        deployment is None
        or len(desk.shadows) >= AT_ONCE_MAX
        or not breaker.admits(seen.breaker, now_us)
    ):
        return
    own = Arrival(
        call_id=ids.uuid7(arrival.at_us, desk.random_bits()),
        at_us=arrival.at_us,
        started_us=now_us,
        secret=None,
    )
    copy = Call(arrival=own, key=call.key, ask=call.ask, edition=call.edition)
    attempt = Attempt(copy, deployment, shadow_of=arrival.call_id)
    if announce(desk, attempt) is None:
        task = asyncio.get_running_loop().create_task(_follow(desk, attempt))
        desk.shadows.add(task)
        task.add_done_callback(desk.shadows.discard)


async def _follow(desk: Desk, attempt: Attempt) -> None:
    desk.enter()
    seen = desk.router.of(attempt.deployment.id)
    flight = Flight(desk, Nobody(attempt.arrival), attempt, Course(attempts=1))
    seen.enter(flight.opened_us)
    try:
        end = await flight.fly()
        note(seen, attempt, end, flight.opened_us + end.taken_us)
        taken_us = desk.clock.monotonic_us() - attempt.arrival.started_us
        desk.journal.record(records.shadow(attempt, end, taken_us))
    except JournalError:
        desk.failed.set()
    finally:
        seen.leave()
        desk.leave()
