"""The library's client, pyqwest on Rust's reqwest: for what the thin one doesn't do.

That is HTTP/2 and HTTP proxies. It reads an answer chunk by chunk, and can't tell how long a
connection took from how long its answer did: ``first_byte_s`` begins once ``connect_s`` is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pyqwest
from pyqwest import Headers, HTTPTransport, HTTPVersion, Proxy

from steelyard import __version__
from steelyard.upstream.transport import IDLE_S, Kind, Limits, Reply, Request, UpstreamError

_FAILURES = (OSError, pyqwest.ReadError, pyqwest.WriteError, pyqwest.RemoteProtocolError)

_ENDS = ("connection closed", "end of file", "EOF")
"""What the library says of answers that end early; their type covers those that are no HTTP."""


class LibraryClient:
    """HTTP to the upstream at ``url``; ``ca_file`` is trusted beside the system's authorities.

    ``proxy`` is its URL, and who we are to it: ``user:password``.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        *,
        ca_file: Path | None = None,
        proxy: tuple[str, str | None] | None = None,
        http2: bool = False,
    ) -> None:
        self._url = url.rstrip("/")
        self._limits = limits
        self._transport = HTTPTransport(
            tls_ca_cert=None if ca_file is None else ca_file.read_bytes(),
            tls_include_system_certs=True,
            http_version=None if http2 else HTTPVersion.HTTP1,
            proxy=[_no_proxy(url) if proxy is None else _proxy(*proxy)],
            connect_timeout=limits.connect_s,
            pool_idle_timeout=IDLE_S,
            pool_max_idle_per_host=limits.connections_max,
            enable_gzip=False,
            enable_brotli=False,
            enable_zstd=False,
            use_system_dns=True,
            follow_redirects=False,
            enable_otel=False,
        )

    async def open(self, request: Request) -> Reply:
        """Send a request; give its answer once the head is there. Raises: UpstreamError."""
        headers = Headers(_ALWAYS)
        for name, value in request.headers:
            headers[name] = value
        if request.key is not None:
            headers["authorization"] = f"Bearer {request.key}"
        asked = pyqwest.Request("POST", self._url + request.path, headers, request.body)
        deadline = asyncio.get_running_loop().time() + self._limits.connect_s
        deadline += self._limits.first_byte_s
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.execute(asked)
        except _FAILURES as exc:
            raise _mapped(exc) from exc
        return _Reply(response, self._limits, deadline)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class _Reply:
    def __init__(self, response: pyqwest.Response, limits: Limits, deadline: float) -> None:
        self.status = response.status
        self._headers = response.headers
        self._response = response
        self._body = cast("AsyncIterator[memoryview]", response.content)
        self._limits = limits
        self._deadline: float | None = deadline
        self._left = limits.answer_bytes_max
        self._ended = False
        self._closed = False

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    async def read(self) -> bytes:
        if self._ended:
            return b""
        if self._closed:
            raise UpstreamError(Kind.BROKEN, "the answer was let go")
        within = self._deadline
        if within is None:
            within = asyncio.get_running_loop().time() + self._limits.between_s
        try:
            async with asyncio.timeout_at(within):
                part = bytes(await anext(self._body, b""))
        except _FAILURES as exc:
            raise _mapped(exc) from exc
        self._deadline = None
        self._ended = not part
        self._left -= len(part)
        if self._left < 0:
            raise UpstreamError(Kind.TOO_LARGE, "the answer is larger than answer_bytes_max")
        return part

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            # Asking is enough: what it gives back is only for those who want to wait.
            self._response.aclose()


_ALWAYS = (
    ("content-type", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", f"steelyard/{__version__}"),
)


def _proxy(url: str, login: str | None) -> Proxy:
    user, _, password = (login or "").partition(":")
    return Proxy(url) if login is None else Proxy(url, auth=(user, password))


def _no_proxy(url: str) -> Proxy:
    """A proxy for other URLs alone: without any, the environment's would be used."""
    return Proxy("http://none.invalid", scheme="http" if url.startswith("https:") else "https")


def _mapped(error: Exception) -> UpstreamError:
    said = str(error)
    match error:
        case pyqwest.ConnectTimeout() | ConnectionError():
            kind = Kind.UNREACHABLE
        case TimeoutError():
            kind = Kind.TIMEOUT
        case pyqwest.StreamError():
            kind = Kind.BROKEN
        case pyqwest.RemoteProtocolError() if not any(each in said for each in _ENDS):
            kind = Kind.INVALID
        case _:
            kind = Kind.BROKEN
    return UpstreamError(kind, f"{type(error).__name__}: {said}")
