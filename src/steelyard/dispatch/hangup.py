"""Watching: calls that take longer than most, for their deadline and for a caller that hangs up."""

from __future__ import annotations

import asyncio
from typing import Protocol

GRACE_S = 0.05
"""Most calls are answered sooner than this, and need nobody to watch them."""


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


class Watch:
    """All calls under way, and one timer for those that are young.

    Who has seen the timer twice is as old as GRACE_S at least, and has a timer of its own.
    """

    def __init__(self) -> None:
        self._young: set[Watched] = set()
        self._older: set[Watched] = set()
        self._watched: set[Watched] = set()
        self._ticking = False

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._young) + len(self._older) + len(self._watched)

    def begin(self, call: Watched, loop: asyncio.AbstractEventLoop, *, short: bool) -> None:
        """A call begins; ``short``: it has no time to lose, and is watched at once."""
        if short:
            self._watched.add(call)
            call.watch()
            return
        self._young.add(call)
        if not self._ticking:
            self._ticking = True
            loop.call_later(GRACE_S, self._look, loop)

    def end(self, call: Watched) -> None:
        """A call has ended."""
        if call in self._young:
            self._young.remove(call)
        elif call in self._older:
            self._older.remove(call)
        else:
            self._watched.remove(call)
            call.unwatch()

    def interrupt(self) -> None:
        """End all of them."""
        for call in (*self._young, *self._older, *self._watched):
            call.interrupt()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for call in self._older:
            call.watch()
        self._watched |= self._older
        self._older, self._young = self._young, set()
        self._ticking = bool(self._older)
        if self._ticking:
            loop.call_later(GRACE_S, self._look, loop)
