"""Tabs: what one call holds of its cover while it is made, and more as its answer grows."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.catalogue.offers import Offer
from steelyard.dispatch.cover import Cover, Gone
from steelyard.dispatch.waiting import Drawn, Need, Short
from steelyard.metering.streams import StreamWeigher
from steelyard.rating.bounds import ANSWER_METERS
from steelyard.values.usage import UsageRecord

STREAM_TOKENS = 2048
"""For so much of a stream is held at a time."""


Used = Callable[[UsageRecord, Offer, int], int]
"""What a call that was weighed takes of a purse. Unit: pico-units for its price; the purse's own.
"""


class Tab:
    """What a call holds. Unit: ``tokens`` of its answer are covered, of ``most`` that may come.

    ``price_pico`` is what a token of it costs at the most, ``used`` says what the call took once it
    is weighed, and ``before`` is what it holds beside that, in another unit.
    """

    __slots__ = (
        "_before",
        "_cover",
        "_patience_s",
        "_price_pico",
        "_used",
        "drawn",
        "most",
        "tokens",
    )

    def __init__(
        self,
        cover: Cover,
        drawn: Drawn,
        price_pico: int,
        tokens: int,
        most: int,
        patience_s: float,
        used: Used,
        before: Tab | None = None,
    ) -> None:
        self._cover = cover
        self._patience_s = patience_s
        self._price_pico = price_pico
        self.drawn = drawn
        self.tokens = tokens
        self.most = most
        self._used = used
        self._before = before

    @property
    def covered(self) -> int:
        """So many tokens of the answer are covered, in every unit."""
        return self.tokens if self._before is None else min(self.tokens, self._before.covered)

    async def stretch(self, tokens: int, gone: Gone) -> bool:
        """Hold for an answer that has come to so many tokens and goes on; whether there is cover.

        Raises: CallerGoneError.
        """
        if self._before is not None and not await self._before.stretch(tokens, gone):
            return False
        least = (tokens - self.tokens) * self._price_pico
        if least <= 0:
            self.tokens = max(self.tokens, tokens)
            return True
        step = max(tokens, min(self.most, tokens + STREAM_TOKENS)) - self.tokens
        amount = step * self._price_pico
        if not self._cover.add(self.drawn, amount):
            need, slices = Need(amount, least, least), self.drawn.slices
            more = await self._cover.wait(slices, need, self._patience_s, gone)
            if isinstance(more, Short):
                return False
            self._cover.join(self.drawn, more)
            step = more.amount // self._price_pico
        self.tokens += step
        return True

    def charged(self, meters: dict[str, int]) -> dict[str, int]:
        """Meters with no more of an answer than is covered: what is beyond it nobody asked for."""
        over = -self.covered
        for each in ANSWER_METERS:
            over += meters.get(each, 0)
        if over <= 0:
            return meters
        cut = {**meters}
        for each in ANSWER_METERS:
            less = min(over, cut.get(each, 0))
            if less:
                cut[each] -= less
                over -= less
        return cut

    def settle(self, record: UsageRecord, offer: Offer, price_pico: int) -> None:
        """The call is weighed: the rest is there for others. Once is enough."""
        if not self.drawn.over:
            self._cover.settle(self.drawn, self._used(record, offer, price_pico))
        if self._before is not None:
            self._before.settle(record, offer, price_pico)

    def release(self) -> None:
        """The call was not made: all is there for others. Nothing, after it was settled."""
        if not self.drawn.over:
            self._cover.settle(self.drawn, 0)
        if self._before is not None:
            self._before.release()


class Margin:
    """How far a stream may go on, and more cover for it when it has come so far. Unit: bytes.

    As long as all that was sent is shorter than what is covered, nobody counts.
    """

    __slots__ = ("_gone", "_safe", "_tab", "_weigher")

    def __init__(self, tab: Tab, weigher: StreamWeigher, gone: Gone) -> None:
        self._tab = tab
        self._weigher = weigher
        self._gone = gone
        self._safe = tab.covered

    def is_safe(self, size: int) -> bool:
        """Whether there is cover for a stream of that size, whatever its tokens are."""
        return size <= self._safe or self._tab.covered >= self._tab.most

    async def allows(self, size: int) -> bool:
        """Whether there is cover for a stream of that size. Raises: CallerGoneError."""
        if self.is_safe(size):
            return True
        tab = self._tab
        tokens = self._weigher.tokens_max
        if not await tab.stretch(tokens, self._gone):
            return False
        self._safe = size + tab.covered - tokens
        return True
