"""Messages: a transport by which an upstream of Anthropic's Messages looks like one of OpenAI's."""

from __future__ import annotations

from steelyard.upstream import anthropic, anthropic_request, openai
from steelyard.upstream.anthropic import Stream
from steelyard.upstream.anthropic_request import UntranslatableError
from steelyard.upstream.transport import Reply, Request, Transport, read_whole
from steelyard.values.clock import Clock

VERSION = "2023-06-01"
"""Source: Anthropic's API reference, Versions."""

ERROR_BYTES_MAX = 64 << 10
"""How much of an upstream's error is read."""

_OK = 200
_BAD_REQUEST = 400
_US = 1_000_000


class Messages:
    """Asks ``inner`` for messages where a chat is asked for, and gives its answers as a chat's."""

    def __init__(self, inner: Transport, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    async def open(self, request: Request) -> Reply:
        """Send a request, or refuse it; give the answer once the head is there.

        Raises: UpstreamError.
        """
        if request.path != openai.PATHS["chat"]:
            return _Refusal("This model's upstream has no embeddings.", "model")
        try:
            body = anthropic_request.encode(request.body)
        except UntranslatableError as exc:
            return _Refusal(str(exc), exc.param)
        headers = [*request.headers, ("anthropic-version", VERSION)]
        if request.key is not None:
            headers.append(("x-api-key", request.key))
        reply = await self._inner.open(Request("/messages", body, tuple(headers)))
        created = self._clock.wall_us() // _US
        if reply.status == _OK and reply.header("content-type").startswith("text/event-stream"):
            return _Streamed(reply, created)
        return _Whole(reply, created)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Refusal:
    """What can't be asked."""

    def __init__(self, says: str, param: str) -> None:
        self.status = _BAD_REQUEST
        self._body = anthropic.failure(says, "invalid_request_error", "invalid_parameter", param)

    def header(self, name: str) -> str:
        return "application/json" if name == "content-type" else ""

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """Nothing is open."""


class _Whole:
    """An answer, or an error, that can be understood only as a whole."""

    def __init__(self, reply: Reply, created: int) -> None:
        self.status = reply.status
        self.header = reply.header
        self.close = reply.close
        self._reply = reply
        self._created = created
        self._ended = False

    async def read(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        if self.status == _OK:
            return anthropic.decode(await read_whole(self._reply), self._created)
        body = b""
        while len(body) < ERROR_BYTES_MAX and (part := await self._reply.read()):
            body += part
        return anthropic.error(body)


class _Streamed:
    """A stream of events."""

    def __init__(self, reply: Reply, created: int) -> None:
        self.status = reply.status
        self.header = reply.header
        self.close = reply.close
        self._reply = reply
        self._stream = Stream(created)

    async def read(self) -> bytes:
        while data := await self._reply.read():
            if made := self._stream.feed(data):
                return made
        return self._stream.finish()
