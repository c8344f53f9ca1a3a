"""Waiting: calls for which there is no room now, and what each of them takes as soon as there is.

A call that is paid takes one amount of all its purses, less than it asked for if there is no more.
One that is limited takes what it needs of each of its bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from steelyard.dispatch.purses import Purse
from steelyard.dispatch.slices import Slice


class Need(NamedTuple):
    """What a call may cost at the most, and how far it can be cut down.

    To ``least`` as soon as there is no more; to ``last`` when there never will be more.
    """

    most: int
    least: int
    last: int

    def bar(self, stops: Sequence[Slice]) -> int:
        """The least that it takes now."""
        ever = min(each.purse.size - each.gone for each in stops)
        return self.least if ever >= self.least else self.last


class Drawn:
    """What a call holds in its purses, until it is weighed."""

    __slots__ = ("amount", "over", "slices")

    def __init__(self, slices: Sequence[Slice], amount: int) -> None:
        self.slices = slices
        self.amount = amount
        self.over = False


class Short(NamedTuple):
    """The purse without room, and why: ``spent`` for good, ``held`` by others, store ``away``."""

    purse: Purse
    why: str
    left: int


class Waiter:
    """A call that waits. ``asked``: the store has no room for the most.

    ``is_late``: its time is over, and it goes on when the store was asked once more.
    """

    __slots__ = ("answered", "asked", "is_late", "slices", "stops", "time")

    def __init__(self, slices: Sequence[Slice], time: asyncio.Timeout) -> None:
        self.slices = slices
        self.stops = [each for each in slices if each.purse.stops]
        self.time = time
        self.asked = False
        self.answered = False
        self.is_late = False

    def wanted(self, each: Slice) -> int:
        """What it asks for of a slice's purse."""
        raise NotImplementedError

    def serve(self, now_us: int) -> bool:
        """Whether it need not wait any longer, because it has what it takes, or never will."""
        raise NotImplementedError

    def undo(self, now_us: int) -> None:
        """Give back what it has, since nobody is there to use it."""
        raise NotImplementedError

    def hurry(self, until_s: float) -> None:
        """The store leases from now on. Unit: the loop's seconds."""

    def tell(self) -> None:
        """Let it go on."""
        self.answered = True
        if not self.time.expired():
            self.time.reschedule(0)


class Payer(Waiter):
    """A call that waits for cover."""

    __slots__ = ("answer", "need")

    def __init__(self, slices: Sequence[Slice], need: Need, time: asyncio.Timeout) -> None:
        super().__init__(slices, time)
        self.need = need
        self.answer: Drawn | Short | None = None

    def wanted(self, each: Slice) -> int:
        """The most; then what is there, if that is enough."""
        del each
        need, stops = self.need, self.stops
        if not self.asked or need.last == need.most:
            return need.most
        there = min(each.room + each.left for each in stops)
        return max(need.bar(stops), min(need.most, there))

    def serve(self, now_us: int) -> bool:
        """Hold the most if it is there, or less if there is no more."""
        del now_us
        if self.answered:
            return True
        need, stops = self.need, self.stops
        room = min(each.room for each in stops)
        amount = min(need.most, room)
        if amount == need.most or (self.asked and amount >= need.bar(stops)):
            for each in self.slices:
                each.hold(amount)
            self.answer = Drawn(self.slices, amount)
        else:
            self.answer = self._spent() if self.asked else None
        if self.answer is not None:
            self.tell()
        return self.answered

    def undo(self, now_us: int) -> None:
        """Give back what it has."""
        del now_us
        if isinstance(self.answer, Drawn):
            for each in self.slices:
                each.settle(self.answer.amount, 0)
            self.answer = None

    def _spent(self) -> Short | None:
        for each in self.stops:
            if each.purse.size - each.gone < self.need.last:
                return Short(each.purse, "spent", max(0, each.purse.size - each.gone))
        return None


class Bounded(Waiter):
    """A call that waits for room in all of its bounds; ``taken_us`` is when it got it."""

    __slots__ = ("amounts", "taken_us")

    def __init__(
        self, slices: Sequence[Slice], amounts: Sequence[int], time: asyncio.Timeout
    ) -> None:
        super().__init__(slices, time)
        self.amounts = amounts
        self.taken_us: int | None = None

    def wanted(self, each: Slice) -> int:
        """What it needs of a bound."""
        return each.share(self.amounts[self.slices.index(each)])

    def serve(self, now_us: int) -> bool:
        """Hold all if it is there; give up where nobody has more to give."""
        if self.answered:
            return True
        if all(map(_fits, self.slices, self.amounts, [now_us] * len(self.amounts))):
            for each, amount in zip(self.slices, self.amounts, strict=True):
                each.hold(amount)
            self.taken_us = now_us
            self.tell()
        elif self.asked and hopeless(self.slices, self.amounts, now_us):
            self.tell()
        return self.answered

    def hurry(self, until_s: float) -> None:
        """The others have a while to give back what they don't use, no longer."""
        before_s = self.time.when()
        if not self.answered and before_s is not None and not self.time.expired():
            self.time.reschedule(min(before_s, until_s))

    def undo(self, now_us: int) -> None:
        """Give back what it has."""
        if self.taken_us is not None:
            for each, amount in zip(self.slices, self.amounts, strict=True):
                each.correct(amount, 0, self.taken_us, now_us)
            self.taken_us = None


def hopeless(slices: Sequence[Slice], amounts: Sequence[int], now_us: int) -> bool:
    """Whether some bound has no room, and no other worker anything to give back."""
    return any(
        not each.fits(amount, now_us)
        and (now_us < each.barren_us or (each.known and each.alone and not _ever(each, amount)))
        for each, amount in zip(slices, amounts, strict=True)
    )


def _ever(each: Slice, amount: int) -> bool:
    """Whether there is room for so much with what nobody has."""
    return each.unleased >= each.share(amount)


def _fits(each: Slice, amount: int, now_us: int) -> bool:
    return each.fits(amount, now_us)
