"""Watching: one observer that tells several."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.dispatch.observing import Ended, Landed, Observer, Refused
from steelyard.dispatch.stages import Attempt


class Unmoved:
    """An observer that nothing moves: others say only what moves them."""

    def refused(self, seen: Refused) -> None:
        """Nothing."""

    def began(self, attempt: Attempt) -> None:
        """Nothing."""

    def first_byte(self, attempt: Attempt, first_token_us: int) -> None:
        """Nothing."""

    def landed(self, seen: Landed) -> None:
        """Nothing."""

    def ended(self, seen: Ended) -> None:
        """Nothing."""


class _Several:
    def __init__(self, observers: Sequence[Observer]) -> None:
        def moved(event: str) -> tuple[Observer, ...]:
            still = getattr(Unmoved, event)
            return tuple(each for each in observers if getattr(type(each), event) is not still)

        self._refused = moved("refused")
        self._began = moved("began")
        self._first_byte = moved("first_byte")
        self._landed = moved("landed")
        self._ended = moved("ended")

    def refused(self, seen: Refused) -> None:
        for each in self._refused:
            each.refused(seen)

    def began(self, attempt: Attempt) -> None:
        for each in self._began:
            each.began(attempt)

    def first_byte(self, attempt: Attempt, first_token_us: int) -> None:
        for each in self._first_byte:
            each.first_byte(attempt, first_token_us)

    def landed(self, seen: Landed) -> None:
        for each in self._landed:
            each.landed(seen)

    def ended(self, seen: Ended) -> None:
        for each in self._ended:
            each.ended(seen)


def together(observers: Sequence[Observer]) -> Observer | None:
    """One observer for all; None when there is none, so that nobody is told."""
    if len(observers) > 1:
        return _Several(observers)
    return observers[0] if observers else None
