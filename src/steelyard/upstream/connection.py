"""A connection to an upstream, and the answer that it carries, fed as bytes arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

import httptools

from steelyard.upstream.transport import Kind, Limits, UpstreamError
from steelyard.values.clock import Vigil

HEAD_BYTES_MAX = 64 << 10
"""Bytes in a row that bring nothing of a body: a head, or what pads chunks. Beside one read."""

BUFFER_BYTES_MAX = 256 << 10
"""Above it an upstream is read no further until its answer is."""

STALE_S = 1.0
"""A connection used again that closes later than this was alive when it was asked."""

_SWITCHING = 101
_FINAL = 200


class Pool(Protocol):
    """Whom a connection belongs to."""

    limits: Limits
    waiting: set[Answer]
    vigil: Vigil
    """By which its waits are measured."""

    def watch(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        """Look at an answer's deadline until it is let go."""
        ...

    def send_soon(
        self, connection: Connection, data: bytes, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Send, with whatever else is asked before the loop goes on."""
        ...

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer is whole, when it may be used again."""
        ...

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        ...


class Connection:
    """One connection; it feeds the answer that it carries."""

    __slots__ = (
        "_answer",
        "_body",
        "_interim",
        "_keep",
        "_loop",
        "_parser",
        "_pool",
        "_transport",
        "idle_since",
        "on_body",
    )

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._body: list[bytes] = []
        """What came of a body in one read."""
        self.on_body = self._body.append
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._interim = False
        self._keep = False
        self.idle_since = inf

    @property
    def usable(self) -> bool:
        """Whether it can carry another request."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    def ask(self, head: bytes, body: bytes, *, used: bool) -> Answer:
        """Send a request; its answer is fed as it arrives."""
        assert self._answer is None
        answer = self._answer = Answer(self, self._pool, self._loop, used=used)
        self._pool.watch(answer, self._loop)
        self._pool.send_soon(self, head + body, self._loop)
        return answer

    def send(self, data: bytes) -> None:
        """Send, or not any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no further."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def drop(self) -> None:
        """Leave an answer that nobody reads any further."""
        self._answer = None
        self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the way out."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the answer that was under way."""
        self._pool.lost(self)
        self._parser = None  # it holds our methods, which hold us
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.lost(exc)

    def eof_received(self) -> None:
        """Nothing more comes: the loop closes the connection."""

    def pause_writing(self) -> None:
        """What was asked waits with the loop, which is bounded: one request at a time."""

    def resume_writing(self) -> None:
        """It has left."""

    def data_received(self, data: bytes) -> None:
        """Feed the answer."""
        answer, parser = self._answer, self._parser
        if answer is None or parser is None:
            self.abort()
            return
        broken = None
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as exc:
            broken = exc
        got, body = b"", self._body
        if body:
            got = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            answer.left -= len(got)
        if answer.left < 0:
            answer.fail(Kind.TOO_LARGE, "the answer is larger than answer_bytes_max")
        elif self._answer is not None:
            answer.fed(got, len(data))
            if broken is not None:
                answer.fail(Kind.INVALID, f"no HTTP: {broken}", broken)
        else:
            self._end(answer, got, more=broken is not None)

    def _end(self, answer: Answer, got: bytes, *, more: bool) -> None:
        """Let a whole answer go; of a connection on which more came there is no more use."""
        if more:
            self._keep = False
        self.idle_since = self._loop.time()
        if answer.paused:
            self.resume()
        self._pool.release(self)
        answer.finish(got)

    def on_message_begin(self) -> None:
        """Refuse what nobody asked for. Raises: BufferError, into the parser's own."""
        if self._answer is None:
            raise BufferError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header as it is."""
        if self._answer is not None:
            self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Know the status, but for those that come before the answer's own.

        Raises: BufferError, into the parser's own.
        """
        answer, parser = self._answer, self._parser
        assert answer is not None
        assert parser is not None
        status = parser.get_status_code()
        if status == _SWITCHING:
            raise BufferError
        self._interim = status < _FINAL
        if self._interim:
            answer.headers.clear()
        else:
            answer.status = status

    def on_message_complete(self) -> None:
        """Let the answer go, and know whether the connection stays."""
        if self._interim:
            self._interim = False
            return
        assert self._parser is not None
        self._keep = self._parser.should_keep_alive()
        self._answer = None


class Answer:
    """An answer under way, or whole."""

    __slots__ = (
        "_asked_at",
        "_asked_s",
        "_connection",
        "_dry",
        "_error",
        "_loop",
        "_pool",
        "_size",
        "_stale",
        "_used",
        "_waiter",
        "_whole",
        "deadline",
        "headers",
        "left",
        "parts",
        "paused",
        "status",
        "through",
    )

    def __init__(
        self,
        connection: Connection,
        pool: Pool,
        loop: asyncio.AbstractEventLoop,
        *,
        used: bool,
    ) -> None:
        self._connection: Connection | None = connection
        self._pool = pool
        self._loop = loop
        self._used = used
        self._asked_at = loop.time()
        self._asked_s = pool.vigil.now_s
        self._error: UpstreamError | None = None
        self._stale = False
        self._whole = False
        self.paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._dry = 0
        self._size = 0
        self.deadline = inf
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.left = pool.limits.answer_bytes_max
        self.through: Callable[[bytes], bool] | None = None
        """Takes what comes while somebody waits to read, or leaves it to be read."""

    def header(self, name: str) -> str:
        """A header's value; an empty text when it is not there."""
        wanted = name.lower().encode("latin-1")
        for found, value in self.headers:
            if found.lower() == wanted:
                return value.decode("latin-1")
        return ""

    @property
    def ended(self) -> bool:
        """Whether all of it has come, and was read."""
        return self._whole and not self.parts

    async def opened(self) -> bool:
        """Wait for the head; True when the connection was stale. Raises: UpstreamError."""
        try:
            while not self.status and self._error is None:
                await self._more()
        except asyncio.CancelledError:
            self.close()
            raise
        if not self.status and not self._stale:
            assert self._error is not None
            raise self._error
        return self._stale

    async def read(self) -> bytes:
        """Whatever has arrived, at least one byte; nothing at the end. Raises: UpstreamError."""
        while not self.parts:
            if self._whole:
                return b""
            if self._error is not None:
                raise self._error
            await self._more()
        parts, self.parts, self._size = self.parts, [], 0
        if self.paused and self._connection is not None:
            self.paused = False
            self._connection.resume()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def whole(self) -> bytes | None:
        """All of the body, where all of it has come and nobody has read of it."""
        if not self._whole:
            return None
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of the answer: when it is not whole, its connection is closed at once."""
        self._end(Kind.BROKEN, "the answer was let go")

    def expire(self) -> None:
        """Its deadline has passed."""
        if self._waiter is not None and not self._waiter.done():
            self.fail(Kind.TIMEOUT, "the upstream was silent for too long")

    def fail(self, kind: Kind, detail: str, cause: Exception | None = None) -> None:
        """End with an error: what has arrived can still be read, unless it is too much."""
        if kind is Kind.TOO_LARGE:
            self.parts.clear()
        self._end(kind, detail, cause)

    def finish(self, got: bytes = b"") -> None:
        """End with all that there is, the last of it with this."""
        if got:
            self.parts.append(got)
        self._whole = True
        self._connection = None
        self._pool.waiting.discard(self)
        self._wake()

    def lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._connection = None
        if self.status and exc is None and not self._framed():
            self.finish()
            return
        early = self._loop.time() - self._asked_at < STALE_S
        self._stale = self._used and early and not self.status and not self._dry
        self._end(Kind.BROKEN, f"the connection closed: {exc or 'in the middle'}", exc)

    def fed(self, got: bytes, size: int) -> None:
        """Take what came of the body, in so many bytes."""
        if got:
            self._dry = 0
            through, waiter = self.through, self._waiter
            if through is not None and waiter is not None and not waiter.done() and through(got):
                # It was taken in the turn in which it came, and nobody was woken.
                self.deadline = self._pool.vigil.now_s + self._pool.limits.between_s
                return
            self.parts.append(got)
            self._size += len(got)
        else:
            self._dry += size
            if self._dry > HEAD_BYTES_MAX:
                self.fail(Kind.INVALID, "a head, or padding, without an end")
                return
        if self._size > BUFFER_BYTES_MAX and not self.paused and self._connection is not None:
            self.paused = True
            self._connection.pause()
        self._wake()

    def _framed(self) -> bool:
        return any(
            name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self.headers
        )

    def _end(self, kind: Kind, detail: str, cause: Exception | None = None) -> None:
        if self._whole or self._error is not None:
            return
        self._error = UpstreamError(kind, detail)
        self._error.__cause__ = cause
        self._pool.waiting.discard(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()
        self._wake()

    def _more(self) -> asyncio.Future[None]:
        """Done when there is more; the first byte has one deadline, each one after it its own."""
        pool = self._pool
        if self.left == pool.limits.answer_bytes_max:
            self.deadline = self._asked_s + pool.limits.first_byte_s
        else:
            self.deadline = pool.vigil.now_s + pool.limits.between_s
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        self.deadline = inf
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
