"""The clock's Protocol, one that stands still for tests, and what is over by one that may jump."""

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
        self._stepped_us = 0

    def wall_us(self) -> int:
        """Read the time it stands at."""
        return self.now_us + self._stepped_us

    def monotonic_us(self) -> int:
        """Read the same as a monotonic time."""
        return self.now_us

    def advance(self, us: int) -> None:
        """Move on by ``us`` microseconds."""
        self.now_us += us

    def step(self, us: int) -> None:
        """Set the wall time forth, or back; no time passes."""
        self._stepped_us += us


class Past:
    """What is over for certain, by a wall clock that may jump forth, and back within ``sure_us``.

    An instant is over once the clock has said so for that long without taking it back. Unit: µs.
    """

    def __init__(self, clock: Clock, sure_us: int) -> None:
        self._clock = clock
        self._sure_us = sure_us
        self._seen: tuple[int, int] | None = None
        """What the wall said, or what by its later word it should have said; and when that was."""
        self.until_us = 0
        """What was before this is over; at first nothing is."""

    def look(self) -> int:
        """Look at the clock; up to when all is over."""
        wall_us, now_us = self._clock.wall_us(), self._clock.monotonic_us()
        if self._seen is None:
            self._seen = wall_us, now_us
        said_us, since_us = self._seen
        said_us = min(said_us, wall_us - (now_us - since_us))
        self._seen = said_us, since_us
        if now_us - since_us >= self._sure_us:
            self.until_us = max(self.until_us, said_us)
            self._seen = wall_us, now_us
        return self.until_us


class Vigil:
    """Time as one lives through it who looks every ``each_s``; it moves only when one looks.

    Between two looks never more passes than twice what was meant: somebody who could not look, for
    the machine was busy, has not waited. Unit: seconds.
    """

    def __init__(self, each_s: float) -> None:
        self.each_s = each_s
        self.now_s = 0.0
        self._looked_s: float | None = None

    def look(self, at_s: float) -> None:
        """Look, when some other clock stands at ``at_s``."""
        if self._looked_s is not None:
            self.now_s += min(at_s - self._looked_s, 2 * self.each_s)
        self._looked_s = at_s

    def rest(self) -> None:
        """Nobody waits: what passes until the next look does not count."""
        self._looked_s = None

    def is_over(self, deadline_s: float) -> bool:
        """Whether a deadline has passed for certain, whenever since the last look it was set."""
        return self.now_s - self.each_s >= deadline_s
