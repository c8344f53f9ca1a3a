"""Allowances: what a call holds of its limits, from before it is made until it is weighed.

All bounds of a call are held at once or none is. What a worker has of them it gives without asking
anybody; a call that finds no room waits until the others had a chance to give back what they have.
"""

from __future__ import annotations

from steelyard.dispatch import limiting
from steelyard.dispatch.cover import Cover, Gone
from steelyard.dispatch.limiting import OUTPUT, REQUESTS, TOKENS, Need, Turned, Units
from steelyard.dispatch.purses import NEVER_US
from steelyard.dispatch.slices import Slice
from steelyard.dispatch.snapshot import Snapshot
from steelyard.dispatch.standing import Room, Standing
from steelyard.dispatch.waiting import hopeless
from steelyard.dispatch.windows import SLICES
from steelyard.governance.keys import Key

WAYS_KEPT = 10_000
"""Pairs of a key and a model whose limits are remembered."""

_ENDLESS = 2**62


class Way:
    """The bounds of the calls of one key for one model, until a day of them ends.

    Unit: µs since 1970. Answers are taken to be no longer than the bounds as a whole have room for.
    """

    __slots__ = ("from_us", "kept", "known", "output", "requests", "slices", "tokens", "until_us")

    def __init__(
        self, known: Snapshot | None, from_us: int, kept: int, slices: tuple[Slice, ...]
    ) -> None:
        self.known = known
        self.from_us = from_us
        self.until_us = min((each.purse.until_us for each in slices), default=NEVER_US)
        self.kept = kept
        self.slices = slices
        shown = [each for each in slices if each.purse.returns in {"never", "minute"}]
        self.requests = tuple(each for each in shown if each.which == REQUESTS)
        self.tokens = tuple(each for each in shown if each.which != REQUESTS)
        self.output = tuple(
            min((e.purse.size for e in shown if e.which == which), default=_ENDLESS)
            for which in (OUTPUT, TOKENS)
        )

    def units(self, need: Need) -> Units:
        """What a call needs; one that does not limit its answer no more than there ever is.

        Else such a call would never be admitted where a minute's tokens are few.
        """
        prompt, answer, open_ended = need
        if open_ended:
            output, tokens = self.output
            answer = max(1, min(answer, output, tokens - prompt))
        return [1, prompt, answer, prompt + answer]


class Held:
    """What a call holds since ``taken_us``; it is given back once, settled or released."""

    __slots__ = ("over", "taken_us", "units", "way")

    def __init__(self, way: Way, units: Units, taken_us: int, *, over: bool = False) -> None:
        self.way = way
        self.units = units
        self.taken_us = taken_us
        self.over = over


class Allowances:
    """The limits of a worker's calls: shared with others by ``cover``, or its own alone.

    Unit: ``at_us`` µs since 1970; ``now_us`` monotonic µs, which never go back.
    """

    def __init__(self, cover: Cover | None = None, patience_s: float = 0) -> None:
        self._cover = cover
        self._patience_s = patience_s
        self._ways: dict[tuple[str, str], Way] = {}
        self._own: dict[str, Slice] = {}

    def way(self, known: Snapshot, key: Key, model: str, at_us: int) -> Way:
        """The bounds of a call."""
        name = (key.sha256, model)
        way = self._ways.get(name)
        if (
            way is not None
            and way.known is known
            and way.from_us <= at_us < way.until_us
            and (self._cover is None or self._cover.forgot == way.kept)
        ):
            return way
        if len(self._ways) >= WAYS_KEPT:
            self._ways.clear()
        bounds = limiting.purses(known.funds, key, model, at_us)
        if self._cover is not None:
            slices = self._cover.slices_of(bounds)
            made = Way(known, at_us, self._cover.forgot, slices)
        else:
            own = [self._own.setdefault(b.name, SLICES[b.returns](b)) for b in bounds]
            for each, bound in zip(own, bounds, strict=True):
                each.purse = bound
                each.granted = bound.size
                each.known = True
            made = Way(known, at_us, 0, tuple(own))
        self._ways[name] = made
        return made

    def take(self, way: Way, need: Need, now_us: int) -> Held | None:
        """Hold what a call needs, without waiting; None: there is no room in all of its bounds."""
        units = way.units(need)
        for each in way.slices:
            if each.waiting or not each.fits(units[each.which], now_us):
                return None
        for each in way.slices:
            each.hold(units[each.which])
            if each.granted - each.spent - each.held < each.low and self._cover is not None:
                self._cover.ask_for(each)
        return Held(way, units, now_us)

    async def wait(
        self, way: Way, need: Need, at_us: int, now_us: int, gone: Gone
    ) -> Held | Turned:
        """Hold what a call needs, should others have it to give; else what blocks it longest.

        Raises: CallerGoneError.
        """
        units, cover = way.units(need), self._cover
        amounts = [units[each.which] for each in way.slices]
        if cover is not None and not hopeless(way.slices, amounts, now_us):
            taken_us = await cover.ask(way.slices, amounts, self._patience_s, gone)
            if taken_us is not None:
                return Held(way, units, taken_us)
            now_us = cover.clock.monotonic_us()
            if (held := self.take(way, need, now_us)) is not None:
                return held
        worst: tuple[int, Slice, int | None] | None = None
        for each, amount in zip(way.slices, amounts, strict=True):
            if each.waiting or not each.fits(amount, now_us):
                wait_us = each.wait_us(amount, at_us, now_us)
                if worst is None or _longer(wait_us, worst[2]):
                    worst = amount, each, wait_us
        assert worst is not None, "what fits is held"
        amount, tight, wait_us = worst
        return Turned(
            purse=tight.purse,
            needed=amount,
            left=tight.unleased,
            wait_us=wait_us,
            used_up=wait_us is not None
            and tight.purse.returns == "never"
            and tight.is_spent(amount),
            away=cover is not None and cover.away and wait_us is not None and not tight.alone,
            standing=self.standing(way, at_us, now_us),
        )

    def settle(self, held: Held, used: Units, now_us: int) -> None:
        """Give back what a call did not use, or take what it used more."""
        assert not held.over
        held.over = True
        units, taken_us, cover = held.units, held.taken_us, self._cover
        for each in held.way.slices:
            which = each.which
            each.correct(units[which], used[which], taken_us, now_us)
            if cover is not None and (each.waiting or each.sought):
                cover.freed()

    def release(self, held: Held, now_us: int) -> None:
        """Give all of it back, of a call that was not made; nothing, after it was settled."""
        if not held.over:
            self.settle(held, [0, 0, 0, 0], now_us)

    def standing(self, way: Way, at_us: int, now_us: int) -> Standing:
        """What is left, of the minute or day that has the least of it."""
        return Standing(_least(way.requests, at_us, now_us), _least(way.tokens, at_us, now_us))


def _least(slices: tuple[Slice, ...], at_us: int, now_us: int) -> Room | None:
    """What is left of that of which the least is."""
    if not slices:
        return None
    tight = slices[0] if len(slices) == 1 else min(slices, key=_left)
    left = tight.granted - tight.spent - tight.held + tight.left
    return Room(tight.purse.size, max(0, left), tight.reset_us(at_us, now_us))


def _left(each: Slice) -> int:
    return each.unleased


def _longer(wait_us: int | None, than_us: int | None) -> bool:
    return than_us is not None and (wait_us is None or wait_us > than_us)


UNLIMITED = Held(Way(None, 0, 0, ()), [0, 0, 0, 0], 0, over=True)
"""What a call holds where there are no limits."""
