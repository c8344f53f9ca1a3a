"""Retrying: which failures are tried again, after which pause, and how often in all."""

from __future__ import annotations

from steelyard.dispatch.refusals import Code, Refusal

PAUSE_US, PAUSE_US_MAX = 100_000, 5_000_000
"""The longest first pause before a deployment is tried again, and the longest of all."""

RETRY_AFTER_S_MAX = 10
"""How long an upstream may make a call wait for it; who asks for more is not tried again."""

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses of an upstream that another attempt may not meet. 529: Anthropic's, overloaded."""

BUDGET_MIN = 10
"""Attempts beyond the first that a worker may make before its calls have earned any."""

_WHOLE = 100
_FAULTS = frozenset(
    {
        Code.UPSTREAM_UNREACHABLE,
        Code.UPSTREAM_TIMEOUT,
        Code.UPSTREAM_BROKEN,
        Code.UPSTREAM_INVALID_RESPONSE,
        Code.UPSTREAM_UNAUTHORISED,
    }
)
_TOO_MANY = 429


def is_fault(refusal: Refusal) -> bool:
    """Whether a failure speaks against its deployment: not a refusal of what was asked."""
    if refusal.code == Code.UPSTREAM_ERROR:
        status = refusal.status
        return status is None or (status in RETRIED_STATUSES and status != _TOO_MANY)
    return refusal.code in _FAULTS


def is_retried(refusal: Refusal) -> bool:
    """Whether another attempt may go better."""
    return is_fault(refusal) or (
        refusal.code == Code.UPSTREAM_ERROR and refusal.status == _TOO_MANY
    )


def pause_us(again: int, retry_after_s: int | None, random_bits: int) -> int | None:
    """The pause before a deployment is tried for the ``again``-th time more; None: not at all.

    Any length up to a bound that doubles each time, and at least what the upstream asked for.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, full jitter.
    """
    if retry_after_s is not None and retry_after_s > RETRY_AFTER_S_MAX:
        return None
    bound_us = min(PAUSE_US << min(again - 1, 10), PAUSE_US_MAX)
    return (retry_after_s or 0) * 1_000_000 + random_bits % (bound_us + 1)


class Budget:
    """The attempts beyond the first that may be made: ``percent`` of the calls, and BUDGET_MIN.

    When everything fails at once, attempts do not multiply what the upstreams have to refuse.
    """

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._most = BUDGET_MIN * _WHOLE
        self._left = self._most

    def earn(self) -> None:
        """A call begins."""
        self._left = min(self._most, self._left + self._percent)

    def spend(self) -> bool:
        """Take one attempt; False when there is none left."""
        if self._left < _WHOLE:
            return False
        self._left -= _WHOLE
        return True
