"""OpenAI's ``x-ratelimit-*`` headers: what is left of the limits that hold for a call.

Source: OpenAI's guide to rate limits, "Rate limits in headers".
"""

from __future__ import annotations

from functools import lru_cache

from steelyard.dispatch.calls import Headers
from steelyard.dispatch.standing import Room, Standing

SECOND_US = 1_000_000
_MINUTE_S = 60
_HOUR_S = 60 * _MINUTE_S
TIMES_KEPT = 4096


def headers(standing: Standing) -> Headers:
    """The limits that are closest, of requests and of tokens, should there be any."""
    return _room("requests", standing.requests) + _room("tokens", standing.tokens)


def duration(us: int) -> str:
    """A time as those headers write it: ``6s``, ``1m30s``, ``7h0m0s``; rounded up."""
    return _seconds(-(-us // SECOND_US))


@lru_cache(TIMES_KEPT)
def _seconds(left_s: int) -> str:
    hours, left_s = divmod(left_s, _HOUR_S)
    minutes, seconds = divmod(left_s, _MINUTE_S)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _room(kind: str, room: Room | None) -> Headers:
    if room is None:
        return ""
    return (
        f"x-ratelimit-limit-{kind}: {room.limit}\r\n"
        f"x-ratelimit-remaining-{kind}: {room.left}\r\n"
        f"x-ratelimit-reset-{kind}: {duration(room.reset_us)}\r\n"
    )
