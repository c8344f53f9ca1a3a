"""RSGI: how a server hands a request on. Granian's interface, as far as we use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol, overload

from granian.rsgi import (
    ProtocolClosed,  # pyright: ignore[reportPrivateImportUsage] - documented as public
)

__all__ = ["Application", "HTTPProtocol", "Headers", "ProtocolClosed", "Scope", "StreamTransport"]


class Headers(Protocol):
    """A request's headers, by name in lower case; of two with one name, the first."""

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def __contains__(self, name: object, /) -> bool: ...


class Scope(Protocol):
    """What is known of a request before its body."""

    @property
    def client(self) -> str:
        """The address and port of the connection's other end: ``127.0.0.1:50312``."""
        ...

    @property
    def method(self) -> str:
        """``POST``."""
        ...

    @property
    def path(self) -> str:
        """The path as it was sent, without the query."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers."""
        ...


class StreamTransport(Protocol):
    """Where a stream's body is sent."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a part, once there is room for it. Raises: ProtocolClosed."""
        ...


class HTTPProtocol(Protocol):
    """A request's body, and how it is answered."""

    def __call__(self) -> Awaitable[bytes]:
        """The whole body. Raises: ProtocolClosed."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, part by part. Raises: ProtocolClosed."""
        ...

    async def client_disconnect(self) -> None:
        """Return when the caller hangs up."""
        ...

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer all at once."""
        ...

    def response_stream(self, status: int, headers: Sequence[tuple[str, str]]) -> StreamTransport:
        """Begin to answer part by part."""
        ...


class Application(Protocol):
    """What answers requests."""

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """Answer one request."""
        ...
