"""OpenAI's ``x-ratelimit-*`` headers: what is left of the limits that hold for a call.

Source: OpenAI's guide to rate limits, "Rate limits in headers".
"""

from __future__ import annotations

from steelyard.dispatch.calls import Headers
from steelyard.dispatch.windows import Room, Standing

MS_US = 1000
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


def headers(standing: Standing) -> Headers:
    """The limits that are closest, of requests and of tokens, should there be any."""
    return _room("requests", standing.requests) + _room("tokens", standing.tokens)


def duration(us: int) -> str:
    """A time as those headers write it: ``20ms``, ``6s``, ``1m30s``, ``7h0m0s``; rounded up."""
    left_ms = -(-us // MS_US)
    hours, left_ms = divmod(left_ms, _HOUR_MS)
    minutes, left_ms = divmod(left_ms, _MINUTE_MS)
    seconds, ms = divmod(left_ms, MS_US)
    if not (hours or minutes or seconds):
        return f"{ms}ms"
    text = f"{seconds}.{ms:03d}".rstrip("0") if ms else str(seconds)
    if hours:
        return f"{hours}h{minutes}m{text}s"
    return f"{minutes}m{text}s" if minutes else f"{text}s"


def _room(kind: str, room: Room | None) -> Headers:
    if room is None:
        return ""
    return (
        f"x-ratelimit-limit-{kind}: {room.limit}\r\n"
        f"x-ratelimit-remaining-{kind}: {room.left}\r\n"
        f"x-ratelimit-reset-{kind}: {duration(room.reset_us)}\r\n"
    )
