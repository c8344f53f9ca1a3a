"""Connections: HTTP/1.1 on asyncio by llhttp, requests handed on as Granian hands them on.

Everything of a caller is bounded: its head in bytes, lines and time, what it sends ahead, how long
it may leave an answer unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket as sockets
import sys
import termios
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol, cast

import httptools

from steelyard.edge.request import STATUS_LINES, Request
from steelyard.edge.rsgi import Application, ProtocolClosed
from steelyard.values.clock import Vigil

HEADERS_MAX: Final = 100
FRAMING_RATIO = 8
"""How many bytes a body's chunks may have around each of its own, beyond a head's worth."""

IDLE_S: float = 75
"""How long a connection without a request is kept."""

UNREAD_S: float = 60
"""How long a caller may read nothing of an answer that waits for it."""

_REFUSED = "%scontent-length: 0\r\nconnection: close\r\n\r\n"


class Listen(NamedTuple):
    """Where a server listens and what it bounds. Unit: bytes, seconds.

    Several processes may listen on one port; the kernel shares the connections out.
    """

    host: str
    port: int
    header_bytes_max: int = 32 << 10
    header_s: int = 30
    connections_max: int = 4096
    server: Literal["granian", "httptools"] = "httptools"
    socket: sockets.socket | None = None
    """One that was taken for it; without one it takes the port by itself."""


class House(Protocol):
    """Where connections belong."""

    application: Application
    listen: Listen
    connections: set[Connection]
    date: str
    vigil: Vigil
    """By which what is waited for is measured."""
    stopping: asyncio.Event

    def flush_soon(self, connection: Connection) -> None:
        """Flush a connection, with whatever else has something to send, before the loop goes on."""
        ...

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        ...


class _RefusedError(Exception):
    """A head that is larger than allowed."""


class _UnframedError(Exception):
    """A body of which it is not sure where it ends. Source: RFC 9112, 6.1 and 6.3."""


class Connection:
    """One caller's connection: its requests are served one after the other."""

    __slots__ = (
        "_arriving",
        "_began",
        "_closing",
        "_drained",
        "_framing_bytes",
        "_incoming",
        "_kept",
        "_lines",
        "_loop",
        "_parser",
        "_paused",
        "_server",
        "_serving",
        "_since_s",
        "_soon",
        "_task",
        "_transport",
        "_unread_bytes",
        "_unread_since_s",
        "_waiting",
        "listeners",
        "lost",
    )

    def __init__(self, server: House) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._incoming: Request | None = None
        """The request whose head is arriving."""
        self._lines: list[tuple[bytes, bytes]] = []
        """Its headers, as they were sent."""
        self._arriving: Request | None = None
        """The request whose body is arriving."""
        self._serving: Request | None = None
        self._waiting: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._began = False
        self._framing_bytes = 0
        """How much came of a request that is not whole, its body left out."""
        self._since_s = 0.0
        self._kept = False
        self._closing = False
        self._paused = False
        self._unread_since_s: float | None = None
        self._unread_bytes = 0
        self._soon: list[bytes] = []
        self._drained: asyncio.Future[None] | None = None
        self.listeners: set[Callable[[], None]] = set()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._since_s = self._server.vigil.now_s
        connections = self._server.connections
        connections.add(self)
        if len(connections) > self._server.listen.connections_max:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Tell whoever waits."""
        self.lost = self._closing = True
        self._parser = self._incoming = None
        self._waiting.clear()
        self._server.forget(self)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        for told in tuple(self.listeners):
            told()
        if self._serving is not None:
            self._serving.wake()

    def data_received(self, data: bytes) -> None:
        """Parse, and serve what is there."""
        parser = self._parser
        if parser is None or self._closing:
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closing = True  # what follows is in another protocol, which we don't speak
        except httptools.HttpParserError as exc:
            self._refuse(431 if isinstance(exc.__context__, _RefusedError) else 400)
        if self._began:
            self._began = False  # what is before the request, in this read, can't be told apart
        elif self._incoming is not None or self._arriving is not None:
            self._count(len(data))
        if self._waiting:
            if self._serving is None:
                self._next()
            if self._waiting:
                self.flow()

    def eof_received(self) -> None:
        """The caller sends no more: the loop closes the connection."""

    def pause_writing(self) -> None:
        """The caller reads more slowly than we write."""
        self._unread_since_s = self._server.vigil.now_s
        self.flow()

    def resume_writing(self) -> None:
        """The caller has read on."""
        self._unread_since_s = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self.flow()

    def on_message_begin(self) -> None:
        """A request begins to arrive."""
        self._incoming = Request(self)
        self._lines.clear()
        self._framing_bytes = 0
        self._began = True
        self._since_s = self._server.vigil.now_s

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        assert self._incoming is not None
        self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Raises: _RefusedError."""
        if self._incoming is None:
            return  # one after the body's last chunk
        if len(self._lines) == HEADERS_MAX:
            raise _RefusedError
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is whole: its request can be served. Raises: _RefusedError, _UnframedError."""
        request, parser = self._incoming, self._parser
        assert request is not None
        assert parser is not None
        if request.take_head(self._lines) > self._server.listen.header_bytes_max:
            raise _RefusedError
        request.method = parser.get_method().decode("latin-1")
        request.chunks = parser.get_http_version() == "1.1"
        encoding = request.headers.get("transfer-encoding")
        if encoding is not None and (encoding.lower() != "chunked" or not request.chunks):
            raise _UnframedError
        request.keep = request.chunks and parser.should_keep_alive()
        request.arriving = True
        self._arriving, self._incoming = request, None
        self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        """A part of a body, which is the last request's."""
        if (request := self._arriving) is not None:
            self._framing_bytes -= len(body)
            request.take(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        if (request := self._arriving) is not None:
            request.arriving = False
            self._arriving = None
            request.wake()

    def write(self, data: bytes) -> None:
        """Send, or not any more."""
        if not self.lost:
            self._transport.write(data)

    @property
    def ready(self) -> bool:
        """Whether the caller is there and reads."""
        return self._unread_since_s is None and not self.lost

    def write_now(self, data: bytes) -> None:
        """Send after whatever waits to be sent, or not any more.

        While data is read the loop itself sends what is written at the end of its turn, in a row.
        """
        if self._soon:
            self._soon.append(data)
        elif not self.lost:
            self._transport.write(data)

    def write_soon(self, data: bytes) -> None:
        """Send when all that can be done now is done."""
        if not self._soon:
            self._server.flush_soon(self)
        self._soon.append(data)

    def flush(self) -> None:
        """Send what waits to be sent together."""
        soon = self._soon
        if soon and not self.lost:
            self._transport.write(soon[0] if len(soon) == 1 else b"".join(soon))
        soon.clear()

    async def drain(self) -> None:
        """Wait until there is room to write. Raises: ProtocolClosed."""
        if self._unread_since_s is not None and not self.lost:
            self._drained = self._loop.create_future()
            await self._drained
        if self.lost:
            raise ProtocolClosed

    def keeps(self, request: Request) -> bool:
        """Whether another request may follow on this connection."""
        return request.keep and not (
            request.arriving or self._closing or self._server.stopping.is_set()
        )

    @property
    def date(self) -> str:
        """The date, as a head says it."""
        return self._server.date

    @property
    def peer(self) -> str:
        """The address and port of the other end."""
        name = self._transport.get_extra_info("peername") or ("", 0)
        return f"{name[0]}:{name[1]}"

    def abort(self) -> None:
        """Close at once."""
        if not self.lost:
            self._transport.abort()

    def look(self) -> None:
        """Close when somebody has been waited for too long."""
        is_over = self._server.vigil.is_over
        if self._serving is None:
            idle = self._incoming is None and self._kept
            if is_over(self._since_s + (IDLE_S if idle else self._server.listen.header_s)):
                self.leave()
        if self._unread_since_s is not None:
            unread_bytes = _unread_bytes(self._transport)
            if unread_bytes != self._unread_bytes:
                self._unread_bytes = unread_bytes
                self._unread_since_s = self._server.vigil.now_s
            elif is_over(self._unread_since_s + UNREAD_S):
                self.abort()

    def leave(self) -> None:
        """Close, when nobody is served."""
        if self._serving is None:
            self._closing = True
            self.flush()
            self._transport.close()

    def flow(self) -> None:
        """Read on, or not: as long as what arrived is waited for, and what we sent is read."""
        ahead = self._waiting or (self._serving is not None and self._serving.is_ahead)
        wanted = not ahead and self._unread_since_s is None
        if wanted is self._paused and not self.lost:
            self._paused = not wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _next(self) -> None:
        self._serving = request = self._waiting.popleft()
        self._task = self._loop.create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        try:
            await self._server.application.__rsgi__(request, request)
        except (
            BaseException
        ):  # the caller sees that its answer is not whole; the loop logs the rest
            self.abort()
            raise
        self._serving = None
        if self.lost:
            return
        if not request.finish():
            self.leave()
            return
        self._kept = True
        self._since_s = self._server.vigil.now_s
        if self._waiting:
            self._next()
        if self._paused:
            self.flow()

    def _count(self, size: int) -> None:
        """Refuse a head that is too long, and a body with too much around it."""
        self._framing_bytes += size
        allowed = self._server.listen.header_bytes_max
        if (request := self._arriving) is not None:
            allowed += FRAMING_RATIO * request.body_bytes
        if self._framing_bytes > allowed:
            self._refuse(431)

    def _refuse(self, status: int) -> None:
        """Answer what is no request, once those before it are answered."""
        self._closing = True
        self._incoming = None
        broken = self._arriving
        if broken is not None and broken is not self._serving:
            self._waiting.pop()
        if self._waiting:
            return
        if self._serving is None or (broken is self._serving and not self._serving.started):
            self.write((_REFUSED % STATUS_LINES[status]).encode())
            self._transport.close()
        elif broken is self._serving:
            self.abort()


def _unread_bytes(transport: asyncio.Transport) -> int:
    """What waits to be read by the other end: with us and, where it can be told, in the kernel."""
    waiting = transport.get_write_buffer_size()
    with contextlib.suppress(OSError):
        asked = fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
        waiting += int.from_bytes(asked, sys.byteorder)
    return waiting
