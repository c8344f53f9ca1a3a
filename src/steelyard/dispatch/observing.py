"""Observing: who is told how calls go, while they go."""

from __future__ import annotations

from typing import Protocol

import msgspec

from steelyard.dispatch.calls import Arrival, Operation
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.stages import Attempt
from steelyard.values.usage import Outcome, UsageRecord


class Refused(msgspec.Struct, frozen=True):
    """A call that was told no before any upstream was asked.

    Unit: ``duration_us`` µs since it arrived. ``customer``: None when the key does not open.
    """

    arrival: Arrival
    refusal: Refusal
    status: int
    duration_us: int
    customer: str | None


class Landed(msgspec.Struct, frozen=True):
    """An attempt that is over. Unit: ``opened_us`` and ``closed_us`` monotonic µs."""

    attempt: Attempt
    outcome: Outcome
    error: str | None
    opened_us: int
    closed_us: int


class Ended(msgspec.Struct, frozen=True):
    """A call that has its record."""

    arrival: Arrival
    operation: Operation
    record: UsageRecord


class Observer(Protocol):
    """Whoever watches calls: told on their way, so it may neither wait nor raise.

    A call is refused, or it has attempts, of which one may bring a first byte, and ends.
    """

    def refused(self, seen: Refused) -> None:
        """A call was refused before an upstream was asked."""
        ...

    def began(self, attempt: Attempt) -> None:
        """An attempt is about to ask its upstream."""
        ...

    def first_byte(self, attempt: Attempt, first_token_us: int) -> None:
        """The first part of a stream is about to leave. Unit: µs since the call arrived."""
        ...

    def landed(self, seen: Landed) -> None:
        """An attempt is over, however it ended."""
        ...

    def ended(self, seen: Ended) -> None:
        """A call's record is written."""
        ...
