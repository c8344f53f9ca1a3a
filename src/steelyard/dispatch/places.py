"""Places: how many calls a deployment, or the worker, takes at once, and the line before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

from steelyard.dispatch.calls import CallerGoneError
from steelyard.dispatch.queueing import Line

Gone = Callable[[], Awaitable[None]]
"""Returns when the caller hangs up."""


class Ticket(NamedTuple):
    """As whose a call waits: customers go in turn, by weight; the higher priority before them."""

    customer: str
    weight: int = 1
    priority: int = 0


class _Waiting:
    """A call in line, and the place that it got."""

    def __init__(self, wanted: Mapping[str, int | None], time: asyncio.Timeout) -> None:
        self.wanted = wanted
        self.time = time
        self.place: str | None = None

    def wake(self, place: str | None) -> None:
        """Go on, with a place or without one."""
        self.place = place
        if not self.time.expired():
            self.time.reschedule(0)


class Places:
    """Places by name, the lines before them, and a bound on all that wait. Unit: calls, seconds."""

    def __init__(self, waiting_max: int, wait_s: float) -> None:
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._taken: dict[str, int] = {}
        self._lines: dict[str, Line[_Waiting]] = {}
        self._closed = False

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(len(line) for line in self._lines.values())

    def taken(self, name: str) -> int:
        """How many calls a place has."""
        return self._taken.get(name, 0)

    def lengths(self) -> Iterator[tuple[str, int]]:
        """How many wait in each line that there has been."""
        return ((name, len(line)) for name, line in self._lines.items())

    async def enter(
        self, line: str, wanted: Mapping[str, int | None], ticket: Ticket, gone: Gone
    ) -> str | None:
        """Take the first of the wanted places that is free, or wait in line for any of them.

        ``wanted`` says how many calls each takes; None: any number. All who wait for a place do so
        in one line; ``gone`` is watched meanwhile. None when it took too long, or too many wait
        already. Raises: CallerGoneError.
        """
        for name, size in wanted.items():
            if self.takes(name, size):
                return name
        if self._closed or len(self) >= self._waiting_max:
            return None
        return await self._wait(line, wanted, ticket, gone)

    def takes(self, name: str, size: int | None) -> bool:
        """Take a place that so many calls can have at once, should it be free."""
        taken = self._taken.get(name, 0)
        if size is not None and taken >= size:
            return False
        self._taken[name] = taken + 1
        return True

    def take(self, name: str) -> None:
        """Take a place, whatever its size."""
        self._taken[name] = self._taken.get(name, 0) + 1

    def leave(self, line: str, name: str) -> None:
        """Give a place back, to the next in line should there be one."""
        self._taken[name] -= 1
        assert self._taken[name] >= 0
        waiting = self._lines.get(line)
        if not waiting:
            return
        chosen = waiting.next(lambda each: name in each.wanted and self._is_free(name, each.wanted))
        if chosen is not None:
            self.take(name)
            chosen.wake(name)

    def close(self) -> None:
        """Let nobody wait any more: those in line get no place."""
        self._closed = True
        for line in self._lines.values():
            while (waiting := line.next(lambda _: True)) is not None:
                waiting.wake(None)

    def _is_free(self, name: str, sizes: Mapping[str, int | None]) -> bool:
        size = sizes[name]
        return size is None or self._taken.get(name, 0) < size

    async def _wait(
        self, line: str, wanted: Mapping[str, int | None], ticket: Ticket, gone: Gone
    ) -> str | None:
        """Watch the caller until there is a place: no task waits but the call's own."""
        waiting = _Waiting(wanted, asyncio.timeout(self._wait_s))
        standing = self._lines.setdefault(line, Line())
        number = standing.join(waiting, ticket.customer, ticket.weight, ticket.priority)
        ended = False
        try:
            async with waiting.time:
                await gone()
        except TimeoutError:
            ended = True
            return waiting.place
        finally:
            standing.leave(number)
            if not ended and waiting.place is not None:
                self.leave(line, waiting.place)
        raise CallerGoneError
