"""An exchange: one request, as RSGI hands it on, and whatever is sent back."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.dispatch import tracing
from steelyard.dispatch.cache import HEADER as CACHE_HEADER
from steelyard.dispatch.calls import Arrival, Ask, CallerGoneError, Headers
from steelyard.dispatch.paying import HEADER as CLAMP_HEADER
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.router import HEADER as DEPLOYMENTS_HEADER
from steelyard.dispatch.windows import Standing
from steelyard.edge import errors, ratelimits
from steelyard.edge.body import MEDIA_TYPE, Limits, discard, read
from steelyard.edge.rsgi import HTTPProtocol, ProtocolClosed, Scope, StreamTransport
from steelyard.values import ids
from steelyard.values.clock import Clock

SESSION_HEADER = "x-steelyard-session"
"""The header that says which calls belong together, and so should find one cache."""

_BEARER = "bearer "


class Exchange:
    """One request and its answer, which names its call; also the caller, as dispatch sees it."""

    def __init__(
        self,
        scope: Scope,
        proto: HTTPProtocol,
        clock: Clock,
        random_bits: int,
        limits: Limits,
        traces_percent: int | None = None,
    ) -> None:
        at_us, headers = clock.wall_us(), scope.headers
        call_id = ids.uuid7(at_us, random_bits)
        self.scope = scope
        self.arrival = Arrival(
            call_id=call_id,
            at_us=at_us,
            started_us=clock.monotonic_us(),
            secret=_secret(headers.get("authorization")),
            trace=tracing.arriving(
                headers.get("traceparent"), headers.get("tracestate"), call_id, traces_percent
            ),
            cache=headers.get(CACHE_HEADER, ""),
            deployments=headers.get(DEPLOYMENTS_HEADER),
            session=headers.get(SESSION_HEADER),
            clamp=headers.get(CLAMP_HEADER, ""),
        )
        self.begun = False
        self.understand: Callable[[bytes], Ask | Refusal] | None = None
        """How the body of a call is understood."""
        self._proto = proto
        self._stream: StreamTransport | None = None
        self._clock = clock
        self._limits = limits
        self._body_read = False
        self._standing: Headers = ()
        self._noted: Headers = ()

    async def ask(self) -> Ask | Refusal:
        """Read what is asked. Raises: CallerGoneError."""
        assert self.understand is not None
        self._body_read = True
        body = await read(self.scope, self._proto, self._limits)
        return body if isinstance(body, Refusal) else self.understand(body)

    def respond(
        self,
        body: bytes,
        status: int = 200,
        more: Headers = (),
        *,
        media_type: str = MEDIA_TYPE,
    ) -> None:
        """Answer all at once, with JSON unless something else is said."""
        self.begun = True
        self._proto.response_bytes(status, self._head(media_type, more), body)

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
        self._noted = (*self._noted, *headers) if self._noted else headers

    def begin(self, headers: Headers = ()) -> None:
        """Send the head of a stream."""
        self.begun = True
        more = [("cache-control", "no-cache"), *headers]
        head = self._head("text/event-stream; charset=utf-8", more)
        self._stream = self._proto.response_stream(200, head)

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

    async def fail(self, refusal: Refusal) -> None:
        """Say in a stream why there is no more of it. Raises: CallerGoneError."""
        await self.send(errors.event_of(refusal))

    def status_of(self, refusal: Refusal) -> int:
        """The status with which a refusal is answered."""
        return errors.status_of(refusal)

    async def gone(self) -> None:
        """Return when the caller hangs up."""
        await self._proto.client_disconnect()

    def _head(self, content_type: str, more: Headers) -> list[tuple[str, str]]:
        name = ids.text(self.arrival.call_id)
        taken_ms = (self._clock.monotonic_us() - self.arrival.started_us) // 1000
        head = [
            ("content-type", content_type),
            ("x-request-id", name),
            ("x-steelyard-call-id", name),
            ("openai-processing-ms", str(taken_ms)),
        ]
        head += self._standing
        head += self._noted
        head += more
        return head


def _secret(authorization: str | None) -> str | None:
    if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
        return None
    return authorization[len(_BEARER) :].strip()
