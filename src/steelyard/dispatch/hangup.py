"""Watching: calls that take longer than most, for their deadline and for a caller that hangs up."""

from __future__ import annotations

import asyncio
from typing import Protocol

GRACE_S = 0.05
"""Most calls are answered sooner than this, and need nobody to watch them."""


class Watched(Protocol):
    """A call that may come to be watched."""

    def watch(self) -> None:
        """Begin to be watched."""
        ...

    def unwatch(self) -> None:
        """Be watched no more."""
        ...


class Watch:
    """One timer for all calls that are young; those that outlive GRACE_S have their own."""

    def __init__(self) -> None:
        self._young: dict[Watched, float] = {}
        self._ticking = False

    def begin(self, call: Watched) -> None:
        """A call begins."""
        loop = asyncio.get_running_loop()
        self._young[call] = loop.time()
        if not self._ticking:
            self._ticking = True
            loop.call_later(GRACE_S, self._look, loop)

    def end(self, call: Watched) -> None:
        """A call has ended."""
        if self._young.pop(call, None) is None:
            call.unwatch()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have those watched that are not young any more; they are in the order of their age."""
        born_s = loop.time() - GRACE_S
        for call, since_s in tuple(self._young.items()):
            if since_s > born_s:
                break
            del self._young[call]
            call.watch()
        self._ticking = bool(self._young)
        if self._ticking:
            loop.call_later(GRACE_S, self._look, loop)
