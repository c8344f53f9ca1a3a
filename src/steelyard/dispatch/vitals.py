"""Vitals: what a worker has seen of a deployment: calls in flight, speed, its breaker."""

from __future__ import annotations

from typing import Final

from steelyard.dispatch import breaker
from steelyard.dispatch.breaker import CLOSED, Breaker

STALE_US: Final = 30_000_000
"""After so long a measurement says nothing any more."""

_WEIGHT: Final = 8
"""A new measurement moves the average by one part in so many."""


class Vitals:
    """What is known of a deployment. Unit: ``*_us`` µs, averages of which the newest weigh most."""

    def __init__(
        self,
        *,
        in_flight: int = 0,
        first_token_us: int | None = None,
        per_token_us: int | None = None,
    ) -> None:
        self.in_flight = in_flight
        self.first_token_us = first_token_us
        self.per_token_us = per_token_us
        self.measured_us = 0
        self.breaker: Breaker = CLOSED

    @property
    def closed(self) -> bool:
        """Whether nothing keeps calls away."""
        return self.breaker.until_us is None

    def enter(self, now_us: int) -> None:
        """An attempt begins."""
        self.in_flight += 1
        if self.breaker.until_us is not None:
            self.breaker = breaker.entered(self.breaker, now_us)

    def leave(self) -> None:
        """An attempt is over."""
        self.in_flight -= 1

    def measure(
        self, first_token_us: int | None, rest_us: int, output_tokens: int, now_us: int
    ) -> None:
        """Note how fast an answer came: its first token, and ``rest_us`` for the others.

        Of an answer that came all at once, nobody knows when its first token was made.
        """
        if now_us - self.measured_us > STALE_US:
            self.first_token_us = self.per_token_us = None
        if first_token_us is not None:
            self.first_token_us = _averaged(self.first_token_us, first_token_us)
        elif self.first_token_us is None:
            self.first_token_us = 0
        rest = output_tokens - (0 if first_token_us is None else 1)
        if rest > 0:
            self.per_token_us = _averaged(self.per_token_us, rest_us // rest)
        self.measured_us = now_us

    def expected_us(self, output_tokens: int, now_us: int) -> int | None:
        """How long an answer of that length takes; None where nobody has seen one lately."""
        if self.first_token_us is None or now_us - self.measured_us > STALE_US:
            return None
        return self.first_token_us + (self.per_token_us or 0) * output_tokens


def _averaged(before: int | None, now: int) -> int:
    return now if before is None else before + (now - before) // _WEIGHT
