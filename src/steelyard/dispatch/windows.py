"""Windows: how much of a limit is used, in a minute, smoothed over it, and in a calendar day.

Each is a plain object that is told the time. Whole numbers only. What is taken is an estimate, and
is corrected once it is known: what was too much comes back, what was too little is taken late.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from steelyard.values import periods

SECOND_US = 1_000_000
MINUTE_S = 60
_MINUTE_US = MINUTE_S * SECOND_US
_SET_BACK_US = 24 * 60 * _MINUTE_US


class Now(NamedTuple):
    """One moment on both clocks. Unit: µs, of the wall since 1970 UTC."""

    wall_us: int
    monotonic_us: int


class Room(NamedTuple):
    """What is left of the tightest limit of a kind. Unit: requests or tokens; µs."""

    limit: int
    left: int
    reset_us: int


class Standing(msgspec.Struct, frozen=True):
    """What is left of a call's limits; None where nothing of the kind is limited."""

    requests: Room | None = None
    tokens: Room | None = None


class Window(Protocol):
    """Bounds the units taken in a span of time."""

    @property
    def limit(self) -> int:
        """The most units in the span."""
        ...

    def wait_us(self, now: Now, units: int) -> int | None:
        """How long until so many units fit: 0, now; None, never."""
        ...

    def take(self, now: Now, units: int) -> None:
        """Take units."""
        ...

    def correct(self, taken: Now, now: Now, difference: int) -> None:
        """Take so many more, or fewer, than were taken at ``taken``."""
        ...

    def room(self, now: Now) -> Room:
        """What is left, and how long until all of it is, should nothing more be taken."""
        ...


class Minute:
    """At most ``limit`` units in any 60 seconds, wherever they begin.

    Kept by seconds of the monotonic clock: what was taken in a second is free again when that
    second is over for a whole minute, so 60 to 61 s later.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._seconds: dict[int, int] = {}
        self._oldest = 0
        self._taken = 0

    def wait_us(self, now: Now, units: int) -> int | None:
        """How long until so many units fit: 0, now; None, never."""
        self._move_on(now)
        over = self._taken + units - self.limit
        if over <= 0:
            return 0
        if units > self.limit:
            return None
        for second, taken in self._seconds.items():
            over -= taken
            if over <= 0:
                return _free_us(second) - now.monotonic_us
        msg = "what is taken is more than its seconds hold"
        raise AssertionError(msg)

    def take(self, now: Now, units: int) -> None:
        """Take units."""
        self._move_on(now)
        if units:
            second = now.monotonic_us // SECOND_US
            self._seconds[second] = self._seconds.get(second, 0) + units
            self._taken += units

    def correct(self, taken: Now, now: Now, difference: int) -> None:
        """Take so many more, or fewer, than were taken at ``taken``."""
        if difference >= 0:
            self.take(now, difference)
            return
        self._move_on(now)
        second = taken.monotonic_us // SECOND_US
        there = self._seconds.get(second)
        if there is None:
            return
        assert there + difference >= 0
        self._taken += difference
        self._seconds[second] = there + difference
        if there + difference == 0:
            del self._seconds[second]

    def room(self, now: Now) -> Room:
        """What is left, and how long until all of it is, should nothing more be taken."""
        self._move_on(now)
        last = next(reversed(self._seconds), None)
        reset_us = 0 if last is None else _free_us(last) - now.monotonic_us
        return Room(self.limit, max(0, self.limit - self._taken), reset_us)

    def _move_on(self, now: Now) -> None:
        oldest = now.monotonic_us // SECOND_US - MINUTE_S
        if oldest == self._oldest:
            return
        self._oldest = oldest
        while self._seconds and (second := next(iter(self._seconds))) < oldest:
            self._taken -= self._seconds.pop(second)


def _free_us(second: int) -> int:
    """When what was taken in a second is free again."""
    return (second + MINUTE_S + 1) * SECOND_US


class Smoothing:
    """A minute's units, spread: at most ``burst_s`` sixtieths of them at once, then 1/60 a second.

    A bucket that drains. A call that is larger than a burst goes when the bucket is empty, and
    those after it wait for as long as that call would have taken at the even rate.
    """

    def __init__(self, per_minute: int, burst_s: int) -> None:
        self.limit = max(1, per_minute * burst_s // MINUTE_S)
        self._rate = per_minute
        """What drains in a microsecond; a unit weighs as many as a minute has microseconds."""
        self._top = max(per_minute * burst_s * SECOND_US, _MINUTE_US)
        self._filled = 0
        self._at_us = 0

    def wait_us(self, now: Now, units: int) -> int | None:
        """How long until so many units fit: 0, now."""
        self._drain(now)
        over = self._filled + min(units * _MINUTE_US, self._top) - self._top
        return 0 if over <= 0 else -(-over // self._rate)

    def take(self, now: Now, units: int) -> None:
        """Take units."""
        self._drain(now)
        self._filled += units * _MINUTE_US

    def correct(self, taken: Now, now: Now, difference: int) -> None:
        """Take so many more, or fewer; what may have drained since then does not come back."""
        self._drain(now)
        if difference >= 0:
            self._filled += difference * _MINUTE_US
            return
        drained = (now.monotonic_us - taken.monotonic_us) * self._rate
        back = max(0, -difference * _MINUTE_US - drained)
        self._filled = max(0, self._filled - back)

    def room(self, now: Now) -> Room:
        """What is left, and how long until all of it is, should nothing more be taken."""
        self._drain(now)
        left = max(0, self._top - self._filled) // _MINUTE_US
        return Room(self.limit, left, -(-self._filled // self._rate))

    def _drain(self, now: Now) -> None:
        passed = now.monotonic_us - self._at_us
        self._filled = max(0, self._filled - passed * self._rate)
        self._at_us = now.monotonic_us


class Day:
    """At most ``limit`` units in a calendar day of ``zone``, by the wall clock.

    A call belongs to the day on which it was admitted. A clock that is set back, by less than a
    day, opens no other day.
    """

    def __init__(self, limit: int, zone: str) -> None:
        self.limit = limit
        self._zone = zone
        self._taken = 0
        self._start_us = 0
        self._end_us = 0

    def wait_us(self, now: Now, units: int) -> int | None:
        """How long until so many units fit: 0, now; None, never."""
        self._move_on(now)
        if self._taken + units <= self.limit:
            return 0
        return None if units > self.limit else self._end_us - now.wall_us

    def take(self, now: Now, units: int) -> None:
        """Take units."""
        self._move_on(now)
        self._taken += units

    def correct(self, taken: Now, now: Now, difference: int) -> None:
        """Take so many more, or fewer, than were taken at ``taken``, if that day is still on."""
        self._move_on(now)
        if self._start_us <= taken.wall_us < self._end_us:
            self._taken = max(0, self._taken + difference)

    def room(self, now: Now) -> Room:
        """What is left, and how long until the next day begins; 0 when nothing is taken."""
        self._move_on(now)
        reset_us = self._end_us - now.wall_us if self._taken else 0
        return Room(self.limit, max(0, self.limit - self._taken), reset_us)

    def _move_on(self, now: Now) -> None:
        if self._start_us - _SET_BACK_US <= now.wall_us < self._end_us:
            return
        if now.wall_us >= self._end_us:
            self._taken = 0
        self._start_us, self._end_us = periods.day_bounds_us(now.wall_us, self._zone)
