"""The course of a call: how it has gone so far, and what its answer's head says of that."""

from __future__ import annotations

from steelyard.dispatch.calls import Headers
from steelyard.dispatch.stages import Attempt


class Course:
    """How a call has gone so far. ``waited_us`` is how long others than we took. Unit: µs."""

    def __init__(self, attempts: int = 0) -> None:
        self.attempts = attempts
        self.waited_us = 0


def told(attempt: Attempt, attempts: int, own_us: int) -> Headers:
    """What a head says of how a call was made; our own time in ms, with three digits."""
    own_us = max(0, own_us)
    thousandths = str(own_us % 1000).zfill(3)
    return (
        f"x-steelyard-deployment: {attempt.deployment.id}\r\n"
        f"x-steelyard-attempts: {attempts}\r\n"
        f"x-steelyard-overhead-ms: {own_us // 1000}.{thousandths}\r\n"
    )
