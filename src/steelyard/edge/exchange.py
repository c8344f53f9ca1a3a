"""An exchange: one request, as RSGI hands it on, and whatever is sent back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from steelyard.dispatch import tracing
from steelyard.dispatch.cache import HEADER as CACHE_HEADER
from steelyard.dispatch.calls import Arrival, Ask, CallerGoneError, Headers
from steelyard.dispatch.paying import HEADER as CLAMP_HEADER
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.router import HEADER as DEPLOYMENTS_HEADER
from steelyard.dispatch.standing import Standing
from steelyard.edge import errors, ratelimits
from steelyard.edge.body import MEDIA_TYPE, Limits, discard, read, unsupported
from steelyard.edge.request import Request
from steelyard.edge.rsgi import HTTPProtocol, ProtocolClosed, Scope, StreamTransport
from steelyard.values import ids
from steelyard.values.clock import Clock

SESSION_HEADER = "x-steelyard-session"
"""The header that says which calls belong together, and so should find one cache."""

_BEARER: Final = "bearer "
_BEARER_CHARS: Final = len(_BEARER)


class Exchange:
    """One request and its answer, which names its call; also the caller, as dispatch sees it."""

    begun = False
    understand: Callable[[bytes], Ask | Refusal] | None = None
    """How the body of a call is understood."""
    _stream: StreamTransport | None = None
    _body_read = False
    _standing: Headers = ""
    _noted: Headers = ""

    def __init__(
        self,
        scope: Scope,
        proto: HTTPProtocol,
        clock: Clock,
        random_bits: int,
        limits: Limits,
        traces_percent: int | None = None,
    ) -> None:
        at_us, header = clock.wall_us(), scope.headers.get
        call_id = ids.uuid7(at_us, random_bits)
        parent, trace = header("traceparent"), None
        if parent is not None or traces_percent is not None:
            trace = tracing.arriving(parent, header("tracestate"), call_id, traces_percent)
        self.scope = scope
        self.arrival = Arrival(
            call_id,
            at_us,
            clock.monotonic_us(),
            _secret(header("authorization")),
            trace,
            header(CACHE_HEADER, ""),
            header(DEPLOYMENTS_HEADER),
            header(SESSION_HEADER),
            header(CLAMP_HEADER, ""),
        )
        self._proto = proto
        self._clock = clock
        self._limits = limits

    async def ask(self) -> Ask | Refusal:
        """Read what is asked. Raises: CallerGoneError."""
        assert self.understand is not None
        self._body_read = True
        proto, limits, headers = self._proto, self._limits, self.scope.headers
        if (refusal := unsupported(headers)) is not None:
            return refusal
        there = proto.there(limits.body_bytes_max) if isinstance(proto, Request) else None
        body = await read(headers, proto, limits) if there is None else there
        return body if isinstance(body, Refusal) else self.understand(body)

    def respond(
        self,
        body: bytes,
        status: int = 200,
        more: Headers = "",
        *,
        media_type: str = MEDIA_TYPE,
    ) -> None:
        """Answer all at once, with JSON unless something else is said."""
        self.begun = True
        proto, head = self._proto, self._head(media_type, more)
        if isinstance(proto, Request):
            proto.respond(status, head, body)
        else:
            proto.response_bytes(status, _pairs(head), body)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with an error in OpenAI's shape, to a caller that has had its say."""
        if not self._body_read:
            await discard(self._proto, self._limits)
        more = errors.headers_of(refusal)
        self.respond(errors.body_of(refusal), errors.status_of(refusal), more)

    def tell(self, standing: Standing) -> None:
        """Tell what is left of the call's limits, with whatever is answered."""
        self._standing = ratelimits.headers(standing)

    def note(self, headers: Headers) -> None:
        """Have these headers sent with whatever is answered."""
        self._noted += headers

    def begin(self, headers: Headers = "") -> None:
        """Send the head of a stream."""
        self.begun = True
        more = "cache-control: no-cache\r\n" + headers
        proto, head = self._proto, self._head("text/event-stream; charset=utf-8", more)
        if isinstance(proto, Request):
            self._stream = proto.stream(200, head)
        else:
            self._stream = proto.response_stream(200, _pairs(head))

    def end(self) -> None:
        """Let go of a stream: the server ends its body when nobody holds it any more."""
        self._stream = None

    async def send(self, data: bytes) -> None:
        """Send a part of a stream. Raises: CallerGoneError."""
        assert self._stream is not None
        try:
            await self._stream.send_bytes(data)
        except ProtocolClosed as exc:
            raise CallerGoneError from exc

    @property
    def ready(self) -> bool:
        """Whether a part of a stream can be sent without waiting: never through Granian."""
        return isinstance(self._stream, Request) and self._stream.ready

    def send_now(self, data: bytes) -> None:
        """Send a part of a stream to a caller that is ready."""
        assert isinstance(self._stream, Request)
        self._stream.send_now(data)

    async def fail(self, refusal: Refusal) -> None:
        """Say in a stream why there is no more of it. Raises: CallerGoneError."""
        await self.send(errors.event_of(refusal))

    def status_of(self, refusal: Refusal) -> int:
        """The status with which a refusal is answered."""
        return errors.status_of(refusal)

    async def gone(self) -> None:
        """Return when the caller hangs up."""
        await self._proto.client_disconnect()

    def when_gone(self, told: Callable[[], None]) -> Callable[[], object]:
        """Have it called when the caller hangs up; calling what comes back takes that back."""
        if isinstance(self._proto, Request):
            return self._proto.when_gone(told)
        return asyncio.ensure_future(self._tell_gone(told)).cancel

    async def _tell_gone(self, told: Callable[[], None]) -> None:
        await self._proto.client_disconnect()
        told()

    def _head(self, content_type: str, more: Headers) -> Headers:
        name = ids.text(self.arrival.call_id)
        taken_ms = (self._clock.monotonic_us() - self.arrival.started_us) // 1000
        return (
            f"content-type: {content_type}\r\n"
            f"x-request-id: {name}\r\n"
            f"x-steelyard-call-id: {name}\r\n"
            f"openai-processing-ms: {taken_ms}\r\n"
            f"{self._standing}{self._noted}{more}"
        )


def _pairs(head: Headers) -> list[tuple[str, str]]:
    """Names and values, as Granian takes them."""
    lines = (line.partition(": ") for line in head.splitlines())
    return [(name, value) for name, _, value in lines]


def _secret(authorization: str | None) -> str | None:
    if authorization is None or authorization[:_BEARER_CHARS].lower() != _BEARER:
        return None
    return authorization[_BEARER_CHARS:].strip()
