"""Breakers: whether a deployment is asked at all, from how its last calls went.

Closed: it is asked. Open: it is left alone for a while, which doubles each time that it opens
again. Half open: one call is let through to try it; its end closes the breaker, or opens it again.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["closed", "open", "half_open"]

WINDOW_US = 10_000_000
"""How far back failures count, at least; at most twice that."""

FAILURES_MIN = 5
"""So many failures open a breaker, should they be half of all calls."""

OPEN_US, OPEN_US_MAX = 2_000_000, 60_000_000
"""For how long a breaker opens at first, and at most."""

PROBE_US = 60_000_000
"""After so long a probe that has not ended yet does not keep others from trying."""


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one deployment's breaker. Unit: ``*_us`` monotonic µs; calls.

    Failures and calls are counted in the half window that began at ``window_us``, and in the one
    before it. ``until_us`` is None while it is closed. ``openings`` have not been closed yet.
    """

    until_us: int | None = None
    probe_us: int | None = None
    openings: int = 0
    window_us: int = 0
    calls: int = 0
    failures: int = 0
    calls_before: int = 0
    failures_before: int = 0


CLOSED = Breaker()


def phase(breaker: Breaker, now_us: int) -> Phase:
    """What people call the state that it is in."""
    if breaker.until_us is None:
        return "closed"
    return "open" if now_us < breaker.until_us else "half_open"


def admits(breaker: Breaker, now_us: int) -> bool:
    """Whether a call may be made now."""
    if breaker.until_us is None:
        return True
    probing = breaker.probe_us is not None and now_us - breaker.probe_us < PROBE_US
    return now_us >= breaker.until_us and not probing


def opens_us(breaker: Breaker, now_us: int) -> int:
    """How long it is until a call may be made, or looked for again. Unit: µs."""
    return 0 if breaker.until_us is None else max(0, breaker.until_us - now_us)


def entered(breaker: Breaker, now_us: int) -> Breaker:
    """A call that was admitted begins; of a half open breaker it is the probe."""
    if breaker.until_us is None:
        return breaker
    return msgspec.structs.replace(breaker, probe_us=now_us)


def left(breaker: Breaker) -> Breaker:
    """A call ended that says nothing of its deployment: its caller hung up, or was wrong."""
    if breaker.probe_us is None:
        return breaker
    return msgspec.structs.replace(breaker, probe_us=None)


def answered(breaker: Breaker, now_us: int) -> Breaker:
    """A call was answered: a probe's answer closes the breaker."""
    if breaker.until_us is not None:
        return breaker if breaker.probe_us is None else CLOSED
    return _counted(breaker, now_us, failures=0)


def failed(breaker: Breaker, now_us: int) -> Breaker:
    """A call failed: a probe's failure opens the breaker again, as do many others in a while."""
    if breaker.until_us is not None:
        return breaker if breaker.probe_us is None else _opened(breaker, now_us)
    breaker = _counted(breaker, now_us, failures=1)
    failures = breaker.failures + breaker.failures_before
    if failures >= FAILURES_MIN and 2 * failures >= breaker.calls + breaker.calls_before:
        return _opened(breaker, now_us)
    return breaker


def held(breaker: Breaker, until_us: int) -> Breaker:
    """The deployment asks to be left alone until then, which is no failure."""
    until_us = max(until_us, breaker.until_us or 0)
    return msgspec.structs.replace(breaker, until_us=until_us, probe_us=None)


def _opened(breaker: Breaker, now_us: int) -> Breaker:
    wait_us = min(OPEN_US << min(breaker.openings, 10), OPEN_US_MAX)
    return Breaker(until_us=now_us + wait_us, openings=breaker.openings + 1)


def _counted(breaker: Breaker, now_us: int, *, failures: int) -> Breaker:
    age_us = now_us - breaker.window_us
    if age_us < WINDOW_US:
        return msgspec.structs.replace(
            breaker, calls=breaker.calls + 1, failures=breaker.failures + failures
        )
    recent = age_us < 2 * WINDOW_US
    return Breaker(
        window_us=now_us,
        calls=1,
        failures=failures,
        calls_before=breaker.calls if recent else 0,
        failures_before=breaker.failures if recent else 0,
    )
