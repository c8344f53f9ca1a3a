"""Watching: calls that take longer than most, for their deadline and for a caller that hangs up."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

GRACE_S: Final = 0.05
"""Most calls are answered sooner than this, and need nobody to watch them."""

LATE_S = 0.25
"""How often those who are watched are looked at, whether their time is over."""


class Watched(Protocol):
    """A call under way, that may come to be watched."""

    def watch(self) -> None:
        """Begin to be watched."""
        ...

    def unwatch(self) -> None:
        """Be watched no more."""
        ...

    def interrupt(self) -> None:
        """End, for the worker does."""
        ...

    def expire(self) -> None:
        """End, for its time is over."""
        ...


class Watch:
    """All calls under way, and when the time of each is over; one timer for all.

    Who has seen it twice while young is as old as GRACE_S at least, and is watched.
    """

    def __init__(self) -> None:
        self._young: dict[Watched, float] = {}
        self._older: dict[Watched, float] = {}
        self._watched: dict[Watched, float] = {}
        self._ticking = False
        self._swept_s = 0.0

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._young) + len(self._older) + len(self._watched)

    def begin(self, call: Watched, loop: asyncio.AbstractEventLoop, left_s: float) -> None:
        """A call begins, with so much time."""
        if left_s < 2 * GRACE_S:
            self._watched[call] = loop.time() + left_s
            call.watch()
        else:
            self._young[call] = loop.time() + left_s
        if not self._ticking:
            self._ticking = True
            loop.call_later(GRACE_S, self._look, loop)

    def end(self, call: Watched) -> None:
        """A call has ended."""
        if self._young.pop(call, None) is None and self._older.pop(call, None) is None:
            del self._watched[call]
            call.unwatch()

    def interrupt(self) -> None:
        """End all of them."""
        for call in (*self._young, *self._older, *self._watched):
            call.interrupt()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for call in self._older:
            call.watch()
        self._watched |= self._older
        self._older, self._young = self._young, {}
        if now_s - self._swept_s >= LATE_S:
            self._swept_s = now_s
            for call in [call for call, until_s in self._watched.items() if until_s <= now_s]:
                call.expire()
        self._ticking = len(self) > 0
        if self._ticking:
            loop.call_later(GRACE_S, self._look, loop)
