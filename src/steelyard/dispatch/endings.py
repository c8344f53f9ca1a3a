"""Endings: what of a stream may be its end, and waits for the record; how an upstream ends one."""

from __future__ import annotations

import asyncio
import contextlib

from steelyard.dispatch import costs, refusals
from steelyard.dispatch.calls import Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.upstream import openai
from steelyard.upstream.connection import Answer
from steelyard.upstream.transport import Kind, Reply, UpstreamError

DONE = b"data: [DONE]\n\n"
EVENT_BEGINNINGS = (b"data:", b":", b"event:", b"id:", b"retry:")
END_S = 0.5
"""How long an upstream may take to end a stream after its last event."""

ERROR_BYTES_MAX = 64 << 10
"""How much of an upstream's error is read."""

PAID = frozenset({Kind.TIMEOUT, Kind.BROKEN, Kind.TOO_LARGE})
"""What breaks after the upstream has begun to work."""


def may_be_last(events: bytes) -> bool:
    """Whether the last of these events looks like a stream's end; if it is none, it waits a bit."""
    if b"[DONE]" in events:
        return True
    return b'"error"' in events and b'"error":null' not in events


def held_from(events: bytes, ask: Ask) -> int | None:
    """Where the events begin that wait for the record; None when all can go."""
    if ask.include_cost and (found := costs.held_from(events)) is not None:
        return found
    return events.rfind(b"data:") if may_be_last(events) else None


async def see(reply: Reply) -> None:
    """Read what follows the last event, so that the connection can be used again.

    It is nothing, and soon; an upstream that has answered whole can't break the answer any more.
    """
    if isinstance(reply, Answer) and reply.ended:
        return
    with contextlib.suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(END_S):
            while await reply.read():
                pass


async def refused(reply: Reply) -> Refusal:
    """What an upstream's error says, its beginning read."""
    body = b""
    while len(body) < ERROR_BYTES_MAX and (part := await reply.read()):
        body += part
    return refusals.upstream_refused(reply.status, openai.fault(body), reply.header("retry-after"))
