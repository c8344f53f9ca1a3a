"""Drains: what calls leave behind, carried off by a thread while they go on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

CLOSE_S = 3.0
"""How long the last of it may take when the worker ends."""

T = TypeVar("T")


class Drain(Generic[T]):
    """Collects items, and hands them to ``carry`` in a thread of its own, many at a time.

    ``carry`` gives back how many it lost. When ``items_max`` wait already, another is dropped.
    """

    def __init__(
        self, name: str, carry: Callable[[list[T]], int], *, items_max: int, every_s: float
    ) -> None:
        self.dropped = 0
        self._carry = carry
        self._items_max = items_max
        self._every_s = every_s
        self._items: deque[T] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Leave an item; never waits."""
        if len(self._items) < self._items_max:
            self._items.append(item)
        else:
            self.dropped += 1

    def close(self, seconds: float = CLOSE_S) -> None:
        """Carry off what is left; wait so long for it and no longer."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(self._every_s)
            while count := len(self._items):
                self.dropped += self._carry([self._items.popleft() for _ in range(count)])
