"""Slices: what one worker has of a purse, what its calls hold of that, and when it asks for more.

Plain numbers, and no waiting. Unit: the purse's own (pico-units, tokens, requests); of wishes lots.
What comes back by itself has slices of its own (``windows``).
"""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.dispatch.leasing import Given, Lease, Wish
from steelyard.dispatch.purses import Purse, lots

AHEAD_S = 4
"""A slice is to last for so long, if there is plenty."""

FIRST_CALLS = 64
"""For how many calls like the first a worker asks at once, before it knows what it uses."""

IDLE_BEATS = 4
"""After so many beats without a call what is not held goes back."""

LOW_PARTS = 4
"""When less than one such part of what a slice should hold is left, more is asked for."""

AGAIN_US = 1_000_000
"""When a call may be tried again for which there is no room and no time at which there will be."""

BARREN_US = 5_000_000
"""How long no call waits for what others had not to give, while it is sought on."""

FOREVER_US = 2**62

_ENDLESS = 2**52
"""The size of a purse that only counts. Unit: lots."""


class Slice:
    """What a worker has of a purse: ``granted``, of which a part is ``spent`` and a part ``held``.

    ``spent`` counts from the worker's beginning, ``peak`` is the most that was held lately.
    ``waiting`` calls have no room in it. ``told`` is how much the store knows to be spent,
    ``total`` what all workers have spent, as it said last. ``which`` of the things that a call
    needs is limited. A call was refused for want of ``short_of``: until ``barren_us`` it is sought
    on, and no other call waits for that. Unit: monotonic µs.
    """

    __slots__ = (
        "ahead",
        "asked_us",
        "barren_us",
        "granted",
        "held",
        "idle",
        "known",
        "left",
        "low",
        "noticed",
        "peak",
        "purse",
        "short_of",
        "sought",
        "spent",
        "told",
        "total",
        "used",
        "waiting",
        "which",
    )

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self.which = purse.which
        self.granted = 0
        self.spent = 0
        self.held = 0
        self.peak = 0
        self.told = 0
        self.total = 0
        self.left = 0
        self.sought = False
        self.known = False
        self.asked_us = -FOREVER_US
        self.barren_us = -FOREVER_US
        self.short_of = 0
        self.used = 0
        self.ahead = 0
        self.low = 0
        self.idle = 0
        self.waiting = 0
        self.noticed = 0

    @property
    def room(self) -> int:
        """What no call holds."""
        return self.granted - self.spent - self.held

    @property
    def gone(self) -> int:
        """What is spent for all that is known: no waiting brings it back."""
        return self.total + self.spent - self.told

    @property
    def alone(self) -> bool:
        """Whether nobody else has anything of it, for all that is known."""
        return self.granted + self.left >= self.purse.size

    def fits(self, amount: int, now_us: int) -> bool:
        """Whether there is room for so much now."""
        del now_us
        return self.granted - self.spent - self.held >= amount

    def share(self, amount: int) -> int:
        """How much of the purse a call takes that needs so much."""
        return amount

    def hold(self, amount: int) -> None:
        """Hold so much for a call."""
        held = self.held = self.held + amount
        self.peak = max(self.peak, held)
        self.idle = 0
        if not self.ahead:
            self.ahead = FIRST_CALLS * amount
            self.low = self.ahead // LOW_PARTS

    def settle(self, amount: int, used: int) -> None:
        """A call that held ``amount`` is weighed, and took so much of it."""
        self.held -= amount
        assert self.held >= 0, "a call gives back what it held, once"
        self.spent += used
        self.used += used

    def correct(self, amount: int, used: int, taken_us: int, now_us: int) -> None:
        """A call that held ``amount`` since ``taken_us`` is weighed, and took so much."""
        del taken_us, now_us
        self.settle(amount, used)

    def move_on(self, now_us: int) -> None:
        """Take back what has come back by itself."""

    def wait_us(self, amount: int, at_us: int, now_us: int) -> int | None:
        """How long until so much may fit; None: never. Unit: µs; ``at_us`` of the wall."""
        del now_us
        if amount > self.purse.size:
            return None
        return max(1, self.purse.until_us - at_us) if self.is_spent(amount) else AGAIN_US

    def is_spent(self, amount: int) -> bool:
        """Whether there is no room for so much, whatever those give back who hold the rest."""
        return self.purse.size - self.gone < amount

    def reset_us(self, at_us: int, now_us: int) -> int:
        """How long until all of it is there again, should nothing more be taken."""
        del now_us
        return 0 if self.unleased >= self.purse.size else max(0, self.purse.until_us - at_us)

    @property
    def unleased(self) -> int:
        """What calls can have, for all that is known here: this worker's room and nobody's."""
        return max(0, self.granted - self.spent - self.held + max(0, self.left))

    @property
    def busy(self) -> bool:
        """Whether calls have used it lately."""
        return bool(self.used or self.held or self.waiting)

    @property
    def is_last(self) -> bool:
        """Whether there is nothing more to have, and something here that no call holds."""
        return self.known and self.left <= 0 and self.purse.stops and self.room >= self.purse.lot

    @property
    def may_ask(self) -> bool:
        """Whether there may be more to have, and nobody waits for it."""
        return (self.left > 0 or not self.known) and not self.sought

    def beat(self, passed_us: int) -> None:
        """Learn how much was used in that time: what a slice should hold."""
        if self.busy:
            self.idle = 0
            wanted = self.used * AHEAD_S * 1_000_000 // passed_us
            self.ahead = max(wanted, self.ahead // 2)
            self.low = self.ahead // LOW_PARTS
        else:
            self.idle += 1
        self.used = 0
        self.peak = max(self.held, self.peak // 2)

    def wish(self, waiting: Sequence[int]) -> Wish | None:
        """What to tell the store and ask of it; None when there is nothing new to say.

        Whoever has more than it holds asks, if only to hear whether others wait for it.
        ``waiting`` is what the calls need that wait, the first one's first.
        """
        purse, lot = self.purse, self.purse.lot
        spent = lots(self.spent, lot)
        if not purse.stops:
            if spent == lots(self.told, lot) and self.known:
                return None
            return Wish(purse.name, _ENDLESS, spent, spent, spent, spent, purse.until_us)
        taken = self.spent + self.held
        floor, granted = lots(taken, lot), self.granted // lot
        size = purse.size // lot
        if waiting:
            self.ahead = self.ahead or FIRST_CALLS * waiting[0]
            first = lots(taken + waiting[0], lot)
            ahead = 0 if self.sought else self.ahead + self.peak - self.held
            best = lots(taken + sum(waiting) + max(0, ahead), lot)
            # What is offered back can't be used until the answer is here: not without need.
            kept = floor if self.sought else max(floor, granted)
            return Wish(purse.name, size, spent, kept, first, best, purse.until_us, short=True)
        if self.sought or self.idle >= IDLE_BEATS:
            best = floor
        else:
            best = max(granted, lots(self.spent + max(self.held, self.peak) + self.ahead, lot))
            best = max(floor, min(best, size))
        if granted == floor == best and spent == lots(self.told, lot):
            return None
        return Wish(purse.name, size, spent, floor, floor, best, purse.until_us)

    def send(self, wish: Wish) -> None:
        """What is given back is not used any more from the moment in which it is said."""
        kept = wish.floor if wish.short else wish.best
        self.granted = min(self.granted, kept * self.purse.lot)

    def take(self, wish: Wish, given: Given, asked_us: int) -> None:
        """What the store answered to a wish."""
        lot = self.purse.lot
        self.granted = given.granted * lot
        self.left = given.left * lot
        self.told = wish.spent * lot
        self.total = given.spent * lot
        # What the purse no more has since it became smaller goes back, too.
        self.sought = given.sought or given.left < 0
        self.known = True
        self.asked_us = asked_us
        if given.left > 0 or self.room >= self.short_of:
            self.barren_us = -FOREVER_US
            self.short_of = 0

    def miss(self, amount: int, now_us: int) -> None:
        """A call has waited in vain for so much; seek on, for calls to come."""
        self.short_of = self.share(amount)
        self.barren_us = now_us + BARREN_US

    def is_missing(self, now_us: int) -> bool:
        """Whether something is sought for which no call waits."""
        return self.short_of > 0 and now_us < self.barren_us

    def lease(self) -> Lease:
        """What the worker has, for a store that is built up again."""
        lot = self.purse.lot
        return Lease(max(self.granted // lot, lots(self.spent, lot)), lots(self.spent, lot))

    @property
    def over(self) -> bool:
        """Whether nothing is held, waited for or left to say."""
        lot = self.purse.lot
        return (
            not self.held
            and not self.waiting
            and lots(self.spent, lot) == lots(self.told, lot)
            and (not self.purse.stops or self.granted // lot == lots(self.spent, lot))
        )
