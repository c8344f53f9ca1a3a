"""Hanging up: noticed while an upstream is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steelyard.dispatch.calls import Caller

GRACE_S = 0.05
"""Most calls are answered sooner than this, and need nobody to watch their caller."""


class Hangup:
    """Watches a caller, and tells once when it hangs up."""

    def __init__(self, caller: Caller, tell: Callable[[], None]) -> None:
        self._caller = caller
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._watcher: asyncio.Task[None] | None = None
        self._start = self._loop.call_later(GRACE_S, self._watch)

    def end(self) -> None:
        """Stop watching."""
        self._start.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def _watch(self) -> None:
        self._watcher = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        await self._caller.gone()
        self._tell()
