"""Windows: slices of what comes back by itself: a minute's units, a burst's, a call's place.

Each is told the time. Whole numbers only. What is taken is an estimate, and is corrected once it is
known: what was too much comes back, what was too little is taken late. A part of a minute that a
worker gives away is free, so that nobody's any sixty seconds have more than all parts together.
Unit: requests or tokens; monotonic µs.
"""

from __future__ import annotations

from typing import Final

from steelyard.dispatch.purses import Purse, Returns
from steelyard.dispatch.slices import AGAIN_US, Slice

SECOND_US: Final = 1_000_000
MINUTE_S: Final = 60
_MINUTE_US: Final = MINUTE_S * SECOND_US

CONTENDED_BEATS = 8
"""For how many beats a worker listens more often, after others have sought what it has."""


class AtOnce(Slice):
    """How many calls may run at once: a call's place is there again when it has ended."""

    __slots__ = ("contended",)

    def __init__(self, purse: Purse) -> None:
        super().__init__(purse)
        self.contended = 0

    def correct(self, amount: int, used: int, taken_us: int, now_us: int) -> None:
        """A call has ended, whatever it used."""
        del used, taken_us, now_us
        self.held -= amount

    def wait_us(self, amount: int, at_us: int, now_us: int) -> int | None:
        """How long until so much may fit; None: never."""
        del at_us, now_us
        return None if amount > self.purse.size else AGAIN_US

    def reset_us(self, at_us: int, now_us: int) -> int:
        """Whether all of it is there is soon known."""
        del at_us, now_us
        return AGAIN_US if self.held else 0

    def beat(self, passed_us: int) -> None:
        """Learn how much was used in that time."""
        super().beat(passed_us)
        self.contended = CONTENDED_BEATS if self.sought else max(0, self.contended - 1)

    @property
    def is_last(self) -> bool:
        """Whether others may wait for what no call holds here."""
        return self.contended > 0 and super().is_last


class Minute(AtOnce):
    """What may be used in any 60 seconds, wherever they begin.

    Kept by seconds of the monotonic clock: what was taken in a second is free again when that
    second is over for a whole minute, so 60 to 61 s later. ``recent`` was taken in ``second``.
    """

    __slots__ = ("recent", "second", "seconds")

    def __init__(self, purse: Purse) -> None:
        super().__init__(purse)
        self.second = 0
        self.recent = 0
        self.seconds: dict[int, int] = {}

    def fits(self, amount: int, now_us: int) -> bool:
        """Whether there is room for so much now."""
        if now_us // SECOND_US > self.second:
            self.move_on(now_us)
        return self.granted - self.held >= amount

    def hold(self, amount: int) -> None:
        """Take so much, in the second in which it fitted."""
        super().hold(amount)
        self.recent += amount

    def correct(self, amount: int, used: int, taken_us: int, now_us: int) -> None:
        """A call that took ``amount`` at ``taken_us`` used so much; more counts from now."""
        self.used += used
        back = amount - used
        if back < 0:
            self.move_on(now_us)
            self.held -= back
            self.recent -= back
            return
        second = taken_us // SECOND_US
        if second == self.second:
            self.held -= back
            self.recent -= back
            assert self.recent >= 0, "what comes back was taken"
            return
        there = self.seconds.get(second)
        if there is not None:
            self.held -= back
            assert there >= back, "what comes back was taken"
            if there == back:
                del self.seconds[second]
            else:
                self.seconds[second] = there - back

    def move_on(self, now_us: int) -> None:
        """Take back what is over for a minute."""
        second = now_us // SECOND_US
        if second <= self.second:
            return
        if self.recent:
            self.seconds[self.second] = self.recent
            self.recent = 0
        self.second = second
        oldest, seconds = second - MINUTE_S, self.seconds
        while seconds and (first := next(iter(seconds))) < oldest:
            self.held -= seconds.pop(first)

    def wait_us(self, amount: int, at_us: int, now_us: int) -> int | None:
        """How long until so much may fit; None: never."""
        del at_us
        if amount > self.purse.size:
            return None
        over = self.held + amount - self.granted
        for second, taken in self.seconds.items():
            over -= taken
            if over <= 0:
                return _free_us(second) - now_us
        return _free_us(self.second) - now_us if self.recent else AGAIN_US

    def reset_us(self, at_us: int, now_us: int) -> int:
        """How long until all of it is there again, should nothing more be taken."""
        del at_us
        if self.recent:
            return _free_us(self.second) - now_us
        last = next(reversed(self.seconds), None)
        return 0 if last is None else _free_us(last) - now_us

    @property
    def busy(self) -> bool:
        """Whether calls have used it lately."""
        return bool(self.used or self.recent or self.waiting)


def _free_us(second: int) -> int:
    """When what was taken in a second is free again."""
    return (second + MINUTE_S + 1) * SECOND_US


class Burst(AtOnce):
    """A minute's units, spread: so many sixtieths of them at once, then 1/60 a second.

    A bucket that drains at the worker's part of the rate, and is as large a part of the whole one.
    A call larger than the whole bucket goes when it is empty; what follows waits until it has
    drained again. A unit weighs as many as a minute has microseconds.
    """

    __slots__ = ("at_us", "filled")

    def __init__(self, purse: Purse) -> None:
        super().__init__(purse)
        self.filled = 0
        self.at_us = 0

    @property
    def top(self) -> int:
        """How much the whole bucket holds."""
        limit = self.purse.limit
        assert limit is not None
        assert limit.burst_s is not None
        return max(self.purse.size * limit.burst_s * SECOND_US, _MINUTE_US)

    def fits(self, amount: int, now_us: int) -> bool:
        """Whether there is room for so much now."""
        self.move_on(now_us)
        return self.granted - self.held >= self.share(amount)

    def share(self, amount: int) -> int:
        """How much more of the rate a call takes that needs so much."""
        top = self.top
        return self._part(self.filled + min(amount * _MINUTE_US, top)) - self.held

    def hold(self, amount: int) -> None:
        """Take so much."""
        self.filled += amount * _MINUTE_US
        super().hold(min(self._part(self.filled), max(self.granted, self.held)) - self.held)

    def correct(self, amount: int, used: int, taken_us: int, now_us: int) -> None:
        """A call used more, or fewer; what may have drained since then does not come back."""
        self.move_on(now_us)
        back = amount - used
        if back > 0:
            drained = (now_us - taken_us) * self.purse.size
            self.filled = max(0, self.filled - max(0, back * _MINUTE_US - drained))
        else:
            self.filled -= back * _MINUTE_US
        self._weigh()

    def move_on(self, now_us: int) -> None:
        """Let drain what has drained."""
        passed_us = now_us - self.at_us
        if passed_us > 0:
            self.at_us = now_us
            if self.filled:
                self.filled = max(0, self.filled - passed_us * self.granted)
                self._weigh()

    def wait_us(self, amount: int, at_us: int, now_us: int) -> int | None:
        """How long until so much fits."""
        del at_us, now_us
        rate = self.granted
        if not rate:
            return AGAIN_US
        most = self.top * rate // self.purse.size
        over = self.filled + min(amount * _MINUTE_US, self.top) - most
        return max(1, -(-over // rate))

    def reset_us(self, at_us: int, now_us: int) -> int:
        """How long until it is empty."""
        del at_us, now_us
        return -(-self.filled // self.granted) if self.granted else 0

    def beat(self, passed_us: int) -> None:
        """Whoever has calls wants all of the rate that it can have."""
        super().beat(passed_us)
        self.ahead = self.purse.size if self.busy else 0
        self.low = 0

    def _weigh(self) -> None:
        """Hold as much of the rate as what is there fits in."""
        self.held = min(self._part(self.filled), self.granted)

    def _part(self, filled: int) -> int:
        """The smallest part of the rate whose bucket holds so much."""
        return -(-filled * self.purse.size // self.top)


SLICES: dict[Returns, type[Slice]] = {
    "never": Slice,
    "ended": AtOnce,
    "minute": Minute,
    "burst": Burst,
}
"""What a worker has of a purse, by when what is taken of it is there again."""
