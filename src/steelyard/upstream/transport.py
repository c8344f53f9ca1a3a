"""The transport: one request to one upstream, its answer read as it arrives."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

IDLE_S: float = 30
"""How long an unused connection is kept. An upstream that keeps it for less says so by closing it;
a balancer on the way forgets it without a word after a minute at the earliest."""


class Kind(Enum):
    """What went wrong with an upstream."""

    UNREACHABLE = "upstream_unreachable"
    TIMEOUT = "upstream_timeout"
    BROKEN = "upstream_broken"
    INVALID = "upstream_invalid_response"
    TOO_LARGE = "upstream_answer_too_large"
    RESTING = "upstream_unauthorised"
    """It was not asked: it lets none of our keys call now."""


class UpstreamError(Exception):
    """An upstream failed us. ``kind`` is its stable code; the text is for the operator.

    ``retry_after_s`` says when it may be asked again, where that is known.
    """

    def __init__(self, kind: Kind, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(f"{kind.value}: {detail}")
        self.kind = kind
        self.retry_after_s = retry_after_s


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on an upstream, by phase.

    ``first_byte_s`` lasts from the request until the first byte of the answer's body, ``between_s``
    is each silence after it. Unit: seconds, bytes; ``connections_max`` is open at once, idle ones
    too.
    """

    connect_s: float = 5
    first_byte_s: float = 120
    between_s: float = 60
    answer_bytes_max: int = 64 << 20
    connections_max: int = 1024


class Request(msgspec.Struct, frozen=True):
    """A POST. ``path`` follows the upstream's base URL: ``/chat/completions``.

    ``headers`` are this request's own, their names in lower case; ``key`` is the upstream's, and
    secret.
    """

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    key: str | None = None

    def __repr__(self) -> str:
        return f"Request({self.path!r}, {len(self.body)} bytes)"


class Reply(Protocol):
    """An upstream's answer, its body not read yet."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    def header(self, name: str) -> str:
        """A header's value; an empty text when it is not there."""
        ...

    async def read(self) -> bytes:
        """Whatever has arrived, at least one byte; nothing at the end. Raises: UpstreamError."""
        ...

    def close(self) -> None:
        """Let go of the answer: when it was not read to its end, the upstream is cancelled."""
        ...


class Transport(Protocol):
    """The way to one upstream."""

    async def open(self, request: Request) -> Reply:
        """Send a request; give its answer once the head is there. Raises: UpstreamError."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


async def read_whole(reply: Reply) -> bytes:
    """All of an answer's body, which the transport bounds. Raises: UpstreamError."""
    first = await reply.read()
    if not first:
        return b""
    parts = [first]
    while part := await reply.read():
        parts.append(part)
    return first if len(parts) == 1 else b"".join(parts)
