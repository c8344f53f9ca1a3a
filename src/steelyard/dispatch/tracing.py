"""Tracing: the trace that a call belongs to, as W3C's trace context has it.

Source: W3C Recommendation "Trace Context", version 00.
"""

from __future__ import annotations

import re

import msgspec

STATE_CHARS_MAX = 512
"""The longest ``tracestate`` that is passed on."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_SAMPLED = 0x01

Headers = tuple[tuple[str, str], ...]


class Trace(msgspec.Struct, frozen=True):
    """A call's trace. ``parent`` is the caller's span, None when the trace begins with us.

    ``ours``: we report spans, so what comes after us names one of ours as its parent.
    """

    trace_id: str
    parent: str | None
    sampled: bool
    state: str
    ours: bool


def arriving(
    traceparent: str | None, tracestate: str | None, call_id: bytes, percent: int | None
) -> Trace | None:
    """The trace of a call: the caller's, or one of our own named like the call.

    ``percent`` of the traces that begin with us are reported; None: we report nothing, and only
    hand on what came.
    """
    ours = percent is not None
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is not None and _is_sound(found):
        state = tracestate or ""
        return Trace(
            trace_id=found[2],
            parent=found[3],
            sampled=bool(int(found[4], 16) & _SAMPLED),
            state=state if _is_plain(state) else "",
            ours=ours,
        )
    if percent is None:
        return None
    sampled = int.from_bytes(call_id[-2:], "big") * 100 < percent << 16
    return Trace(trace_id=call_id.hex(), parent=None, sampled=sampled, state="", ours=True)


def span_id(call_id: bytes, attempt: int) -> str:
    """The span of a call (attempt 0) or of one of its attempts: different for all of them."""
    return f"{int.from_bytes(call_id[8:], 'big') ^ attempt:016x}"


def departing(trace: Trace | None, call_id: bytes, attempt: int) -> Headers:
    """The headers that tell an upstream which trace an attempt belongs to."""
    if trace is None:
        return ()
    parent = span_id(call_id, attempt) if trace.ours else trace.parent
    header = ("traceparent", f"00-{trace.trace_id}-{parent}-{int(trace.sampled):02x}")
    return (header, ("tracestate", trace.state)) if trace.state else (header,)


def _is_plain(state: str) -> bool:
    return len(state) <= STATE_CHARS_MAX and state.isascii() and state.isprintable()


def _is_sound(found: re.Match[str]) -> bool:
    """Version ff is none; version 00 has nothing more; zeros name nothing."""
    return (
        found[1] != "ff"
        and not (found[1] == "00" and found[5])
        and found[2] != _NO_TRACE
        and found[3] != _NO_SPAN
    )
