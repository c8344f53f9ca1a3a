"""The clock's Protocol, and one that stands still for tests and replays."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def wall_us(self) -> int:
        """Microseconds since 1970-01-01 UTC; may step."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds since some start; never steps."""
        ...


class FixedClock:
    """A clock that moves only when it is told to."""

    def __init__(self, wall_us: int = 1_795_478_400_000_000) -> None:
        """Stand at ``wall_us``; the default is 2026-11-24 00:00 UTC."""
        self.now_us = wall_us

    def wall_us(self) -> int:
        """Read the time it stands at."""
        return self.now_us

    def monotonic_us(self) -> int:
        """Read the same as a monotonic time."""
        return self.now_us

    def advance(self, us: int) -> None:
        """Move on by ``us`` microseconds."""
        self.now_us += us
