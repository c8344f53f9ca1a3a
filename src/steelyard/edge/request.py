"""Request: one request on a connection and its answer, as Granian's scope and protocol are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

from steelyard.edge.rsgi import ProtocolClosed

BUFFER_BYTES_MAX: Final = 256 << 10
"""How much of a body may arrive before somebody reads it."""

_PHRASES = {each.value: each.phrase for each in HTTPStatus}
STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n" for status in range(100, 600)
}
"""Also of statuses without a name: an upstream's, which are passed on."""

_NAMES: Final[dict[bytes, str]] = {}
NAMES_MAX: Final = 1000
"""Names of headers whose lower case is remembered, as they were sent."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Link(Protocol):
    """What a request needs of the connection that it came on."""

    listeners: set[Callable[[], None]]
    """Called when it is lost."""
    lost: bool

    @property
    def date(self) -> str:
        """The date, as a head says it."""
        ...

    @property
    def peer(self) -> str:
        """The address and port of the other end."""
        ...

    def keeps(self, request: Request) -> bool:
        """Whether another request may follow."""
        ...

    def flow(self) -> None:
        """Read on, or not."""
        ...

    def write(self, data: bytes) -> None:
        """Send, or not any more."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the caller is there and reads."""
        ...

    def write_now(self, data: bytes) -> None:
        """Send after whatever waits to be sent, or not any more."""
        ...

    def write_soon(self, data: bytes) -> None:
        """Send, with whatever else is written before the loop goes on."""
        ...

    def flush(self) -> None:
        """Send what waits to be sent together."""
        ...

    async def drain(self) -> None:
        """Wait until there is room to write. Raises: ProtocolClosed."""
        ...


class Request:
    """A request and its answer: Granian's scope and protocol in one."""

    target = b""
    method = ""
    keep = False
    chunks = True
    arriving = False
    """Whether more of the body is to come."""
    body_bytes = 0
    _ahead_bytes = 0
    started = False
    _ended = False
    _whole = False
    """Whether somebody waits for all of the body, and has looked how much that is."""
    _wanted: asyncio.Future[None] | None = None

    def __init__(self, connection: Link) -> None:
        self._connection = connection
        self.headers: dict[str, str] = {}
        self._body: list[bytes] = []

    @property
    def client(self) -> str:
        """Who called: address and port."""
        return self._connection.peer

    @property
    def path(self) -> str:
        """The path as it was sent, without the query."""
        path, _, _ = self.target.partition(b"?")
        if not path.startswith(b"/") and b"://" in path:
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        return path.decode("latin-1")

    @property
    def is_ahead(self) -> bool:
        """Whether more of the body has arrived than should wait for its reader."""
        return self._ahead_bytes > BUFFER_BYTES_MAX and not self._whole

    def take_head(self, lines: Sequence[tuple[bytes, bytes]]) -> int:
        """Take the headers; the length of the head. Unit: bytes."""
        size, headers = len(self.target), self.headers
        for name, value in lines:
            size += len(name) + len(value) + 4
            headers.setdefault(_NAMES.get(name) or _in_lower_case(name), value.decode("latin-1"))
        return size

    def take(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(part)
        self._ahead_bytes += len(part)
        self.body_bytes += len(part)
        if self._ahead_bytes > BUFFER_BYTES_MAX:
            self._connection.flow()
        if self._wanted is not None and not self._whole:
            self.wake()

    def wake(self) -> None:
        """Tell whoever waits for the body that something has changed."""
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def there(self, size_max: int) -> bytes | None:
        """The whole body, where it has come already and is not too long."""
        if self.arriving or self.body_bytes > size_max:
            return None
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    async def __call__(self) -> bytes:
        """The whole body, whose length the caller of this has looked at. Raises: ProtocolClosed."""
        if self.arriving:
            self._whole = True
            await self._more()
        parts, self._body = self._body, []
        self._ahead_bytes = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, part by part."""
        return self

    async def __anext__(self) -> bytes:
        """The next part of the body. Raises: ProtocolClosed."""
        while not self._body:
            if not self.arriving:
                raise StopAsyncIteration
            await self._more()
        parts, self._body = self._body, []
        self._ahead_bytes = 0
        self._connection.flow()
        return b"".join(parts)

    async def client_disconnect(self) -> None:
        """Return when the caller hangs up."""
        gone = asyncio.get_running_loop().create_future()
        stay = self.when_gone(lambda: None if gone.done() else gone.set_result(None))
        try:
            await gone
        finally:
            stay()

    def when_gone(self, told: Callable[[], None]) -> Callable[[], object]:
        """Have it called when the caller hangs up; calling what comes back takes that back."""
        connection = self._connection
        if connection.lost:
            asyncio.get_running_loop().call_soon(told)
        connection.listeners.add(told)
        return partial(connection.listeners.discard, told)

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer all at once."""
        self.respond(status, _lines(headers), body)

    def respond(self, status: int, lines: str, body: bytes) -> None:
        """Answer all at once, with these lines in the head."""
        self.started = self._ended = True
        head = self._head(status, lines, f"content-length: {len(body)}\r\n")
        self._connection.write_soon(head if self.method == "HEAD" else head + body)

    def response_stream(self, status: int, headers: Sequence[tuple[str, str]]) -> Request:
        """Begin to answer part by part."""
        return self.stream(status, _lines(headers))

    def stream(self, status: int, lines: str) -> Request:
        """Begin to answer part by part, with these lines in the head."""
        self.started = True
        if not self.chunks:
            self.keep = False
        length = "transfer-encoding: chunked\r\n" if self.chunks else ""
        self._connection.write_soon(self._head(status, lines, length))
        return self

    async def send_bytes(self, data: bytes) -> None:
        """Send a part, once there is room for it. Raises: ProtocolClosed."""
        connection = self._connection
        if data:
            connection.write_soon(b"%x\r\n%b\r\n" % (len(data), data) if self.chunks else data)
        await connection.drain()

    @property
    def ready(self) -> bool:
        """Whether a part can be sent without waiting."""
        return self._connection.ready

    def send_now(self, data: bytes) -> None:
        """Send a part to a caller that is ready."""
        self._connection.write_now(b"%x\r\n%b\r\n" % (len(data), data) if self.chunks else data)

    def finish(self) -> bool:
        """End the answer; whether another request may follow."""
        if self.started and not self._ended and self.chunks:
            self._connection.write_soon(b"0\r\n\r\n")
        return self.started and self._connection.keeps(self)

    def _head(self, status: int, lines: str, length: str) -> bytes:
        connection = self._connection
        self.keep = connection.keeps(self)
        close = "" if self.keep else "connection: close\r\n"
        head = f"{STATUS_LINES[status]}{lines}date: {connection.date}\r\n{length}{close}\r\n"
        assert "\r\n\r\n" not in lines, "a head within a head"
        return head.encode("latin-1", "replace")

    async def _more(self) -> None:
        """Wait for the rest of the body, or for more of it. Raises: ProtocolClosed."""
        connection = self._connection
        if self.headers.get("expect", "").lower() == "100-continue" and not self.started:
            del self.headers["expect"]
            connection.write(_CONTINUE)
        while self.arriving and not connection.lost and (self._whole or not self._body):
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted
        if self.arriving and connection.lost:
            raise ProtocolClosed


def _lines(headers: Sequence[tuple[str, str]]) -> str:
    lines = [f"{name}: {value}" for name, value in headers]
    assert all(line.isprintable() for line in lines), "a line break in a header"
    return "".join(f"{line}\r\n" for line in lines)


def _in_lower_case(name: bytes) -> str:
    written = name.lower().decode("latin-1")
    if len(_NAMES) < NAMES_MAX:
        _NAMES[name] = written
    return written
