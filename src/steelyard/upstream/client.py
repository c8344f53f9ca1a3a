"""The thin client: HTTP/1.1 to one configured upstream, over TCP, TLS or a unix socket.

Its connections are kept and used again, the last one first. An answer is fed by its connection as
bytes arrive, many chunks at once: no task, and a future only where a reader waits. One timer for
the whole client looks for those who have waited too long.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from socket import SOCK_STREAM
from typing import cast
from urllib.parse import urlsplit

import aiohappyeyeballs

from steelyard import __version__
from steelyard.upstream.connection import Answer, Connection
from steelyard.upstream.transport import IDLE_S, Kind, Limits, Reply, Request, UpstreamError
from steelyard.values.clock import Vigil

NEXT_ADDRESS_S = 0.25
"""After so long without an answer the host's next address is tried too. Source: RFC 8305."""

TICK_S_MAX = 0.5
TICK_S_MIN = 0.02
TICKS = 20
"""Waits are looked at in so many parts of the shortest; none is longer by more than two of them,
but for when we are too busy to look."""

_HTTPS = 443
_HTTP = 80


class Client:
    """HTTP/1.1 to the upstream at ``url``, over TCP or over the unix socket at ``socket``.

    ``tls`` is what an ``https`` upstream is trusted by. ``connections`` are all that are open, and
    ``idle`` those of them that nobody uses, the last used at the end.
    """

    def __init__(
        self, url: str, limits: Limits, tls: ssl.SSLContext | None, socket: Path | None = None
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, url
        secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (_HTTPS if secure else _HTTP)
        self._tls = tls if secure else None
        self._socket = socket
        self._path = parts.path.rstrip("/")
        self._netloc = parts.netloc.rpartition("@")[2]
        self.limits = limits
        self._heads: dict[tuple[str, str | None], bytes] = {}
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []
        self.waiting: set[Answer] = set()
        self._sending: list[tuple[Connection, bytes]] = []
        self._connecting: dict[asyncio.Timeout, float] = {}
        """Who connects, and until when."""
        shortest = min(limits.connect_s, limits.first_byte_s, limits.between_s, IDLE_S)
        self.vigil = Vigil(min(TICK_S_MAX, max(TICK_S_MIN, shortest / TICKS)))
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, request: Request) -> Reply:
        """Send a request; give its answer once the head is there. Raises: UpstreamError."""
        head = self._head(request)
        loop = asyncio.get_running_loop()
        connection = self._idle_one(loop.time())
        if connection is not None:
            answer = connection.ask(head, request.body, used=True)
            if not await answer.opened():
                return answer
        connection = await self._connect(loop)
        answer = connection.ask(head, request.body, used=False)
        await answer.opened()
        return answer

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head(self, request: Request) -> bytes:
        known = (request.path, request.key)
        head = self._heads.get(known)
        if head is None:
            head = self._heads[known] = self._written(request.path, request.key)
        own = _lines(request.headers) if request.headers else b""
        return b"%b%bcontent-length: %d\r\n\r\n" % (head, own, len(request.body))

    def _written(self, path: str, key: str | None) -> bytes:
        headers = [
            ("host", self._netloc),
            ("content-type", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", f"steelyard/{__version__}"),
        ]
        if self._socket is not None:
            headers.append(("connection", "close"))
        if key is not None:
            headers.append(("authorization", f"Bearer {key}"))
        first = f"POST {self._path}{path} HTTP/1.1"
        assert first.isprintable()
        return first.encode("latin-1") + b"\r\n" + _lines(headers)

    def _idle_one(self, now: float) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.usable and connection.idle_since > now - IDLE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        if len(self.connections) >= self.limits.connections_max:
            raise UpstreamError(Kind.UNREACHABLE, "as many connections as connections_max")
        connection = Connection(self, loop)
        protocol = cast("asyncio.Protocol", connection)  # it has the methods, and is none by class
        self.connections.add(connection)
        made = False
        try:
            async with asyncio.timeout(None) as timeout:
                self._connecting[timeout] = self.vigil.now_s + self.limits.connect_s
                self._look_on(loop)
                try:
                    if self._socket is not None:
                        await loop.create_unix_connection(lambda: protocol, str(self._socket))
                    else:
                        await self._connect_tcp(protocol, loop)
                finally:
                    del self._connecting[timeout]
            made = True
        except (OSError, UnicodeError) as exc:
            raise UpstreamError(Kind.UNREACHABLE, f"{type(exc).__name__}: {exc}") from exc
        finally:
            if not made:
                self.lost(connection)
        return connection

    async def _connect_tcp(
        self, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Connect to the first of the host's addresses that answers, tried a moment apart."""
        found = await loop.getaddrinfo(self._host, self._port, type=SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(
            found, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1, loop=loop
        )
        name = None if self._tls is None else self._host
        try:
            await loop.create_connection(
                lambda: protocol, sock=sock, ssl=self._tls, server_hostname=name
            )
        except BaseException:  # whatever it was, nobody else can close the socket
            sock.close()
            raise

    def watch(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        """Look at an answer's deadline until it is let go."""
        self.waiting.add(answer)
        if self._timer is None:
            self._look_on(loop)

    def send_soon(
        self, connection: Connection, data: bytes, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Send, with whatever else is asked before the loop goes on.

        In a row: who wakes for the first is awake for the others.
        """
        if not self._sending:
            loop.call_soon(self._send)
        self._sending.append((connection, data))

    def _send(self) -> None:
        sending, self._sending = self._sending, []
        for connection, data in sending:
            connection.send(data)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer is whole, when it may be used again."""
        if self._socket is None and connection.usable:
            self.idle.append(connection)
        else:
            connection.abort()

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def _look_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None:
            self.vigil.look(loop.time())
            self._timer = loop.call_later(self.vigil.each_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        self.vigil.look(now)
        is_over = self.vigil.is_over
        for answer in [each for each in self.waiting if is_over(each.deadline)]:
            answer.expire()
        for timeout in [each for each, until_s in self._connecting.items() if is_over(until_s)]:
            timeout.reschedule(now)
        old = now - IDLE_S
        for connection in [each for each in self.idle if each.idle_since <= old]:
            connection.abort()
        self.idle = [each for each in self.idle if each.idle_since > old]
        if self.waiting or self.idle or self._connecting:
            self._look_on(loop)
        else:
            self.vigil.rest()


def _lines(headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers]
    assert all(line.isprintable() for line in lines), "a line break in a header"
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
