"""The transport: one request to one upstream, its answer read as it arrives."""

from __future__ import annotations

import asyncio
from enum import Enum
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from steelyard import __version__

IDLE_S = 4
"""How long an unused connection is kept: less than the five seconds after which most Python
servers close theirs, so that none is closed under a request."""


class Kind(Enum):
    """What went wrong with an upstream."""

    UNREACHABLE = "upstream_unreachable"
    TIMEOUT = "upstream_timeout"
    BROKEN = "upstream_broken"
    INVALID = "upstream_invalid_response"
    TOO_LARGE = "upstream_answer_too_large"


class UpstreamError(Exception):
    """An upstream failed us. ``kind`` is its stable code; the text is for the operator."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(f"{kind.value}: {detail}")
        self.kind = kind


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one request. ``first_byte_s`` bounds the head, and each silence after it."""

    connect_s: float = 5
    first_byte_s: float = 120
    answer_bytes_max: int = 64 << 20


class Request(msgspec.Struct, frozen=True):
    """A POST. ``path`` follows the upstream's base URL: ``/chat/completions``.

    ``headers`` are this request's own, their names in lower case.
    """

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


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


class HttpTransport:
    """HTTP to an upstream at ``url``, over TCP or over the unix socket at ``socket``."""

    def __init__(
        self, url: str, key: str | None, limits: Limits, socket: Path | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._answer_bytes_max = limits.answer_bytes_max
        self._head_s = limits.connect_s + limits.first_byte_s
        self._urls: dict[str, URL] = {}
        headers = CIMultiDict(
            {
                "content-type": "application/json",
                "accept-encoding": "identity",
                "user-agent": f"steelyard/{__version__}",
            }
        )
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        connector: aiohttp.BaseConnector = (
            aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
            if socket is None
            # llama.cpp's server closes a connection after a stream without saying so.
            else aiohttp.UnixConnector(str(socket), limit=0, force_close=True)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=limits.connect_s, sock_read=limits.first_byte_s
            ),
        )

    async def open(self, request: Request) -> Reply:
        """Send a request; give its answer once the head is there. Raises: UpstreamError."""
        url = self._urls.get(request.path)
        if url is None:
            url = self._urls[request.path] = URL(self._url + request.path, encoded=True)
        try:
            async with asyncio.timeout(self._head_s):
                response = await self._session.post(
                    url, data=request.body, headers=request.headers, allow_redirects=False
                )
        except (aiohttp.ClientError, OSError) as exc:
            raise _mapped(exc) from exc
        return _HttpReply(response, self._answer_bytes_max)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


class _HttpReply:
    def __init__(self, response: aiohttp.ClientResponse, bytes_max: int) -> None:
        self.status = response.status
        self._response = response
        self._bytes_left = bytes_max

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    async def read(self) -> bytes:
        try:
            part = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise _mapped(exc) from exc
        self._bytes_left -= len(part)
        if self._bytes_left < 0:
            raise UpstreamError(Kind.TOO_LARGE, "the answer is larger than answer_bytes_max")
        return part

    def close(self) -> None:
        self._response.close()


def _mapped(error: aiohttp.ClientError | OSError) -> UpstreamError:
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            kind = Kind.UNREACHABLE
        case TimeoutError():
            kind = Kind.TIMEOUT
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            kind = Kind.INVALID
        case _:
            kind = Kind.BROKEN
    return UpstreamError(kind, f"{type(error).__name__}: {error}")
