"""The echo: an upstream that answers by itself in OpenAI's wire format, for trials and tests.

A token is a word. The answer is the last message, word by word, repeated or cut to ``max_tokens``.
A body's ``echo`` object turns its knobs: ``{"echo": {"words": 200, "delay_ms": 5}}``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Iterator
from itertools import chain, cycle, islice
from typing import Annotated

import msgspec

from steelyard.upstream.transport import Kind, Reply, Request, UpstreamError
from steelyard.values.clock import Clock

WORDS_MAX = 100_000
DIMENSIONS = 8

Count = Annotated[int, msgspec.Meta(ge=0, le=WORDS_MAX)]


class Knobs(msgspec.Struct, frozen=True):
    """What a caller may ask of the echo. Unit: ``delay_ms`` milliseconds before each word.

    ``words`` is the answer's length whatever ``max_tokens`` says; ``usage`` False leaves a stream's
    usage out; ``break_after`` breaks the connection after so many words.
    """

    words: Count | None = None
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0
    usage: bool = True
    break_after: Count | None = None


class _Message(msgspec.Struct, frozen=True):
    content: object = None


class _Options(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _Asked(msgspec.Struct, frozen=True):
    model: str
    messages: tuple[_Message, ...] = ()
    stream: bool | None = None
    stream_options: _Options | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    input: str | list[str] = ""
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] = DIMENSIONS
    encoding_format: str = "float"
    echo: Knobs = Knobs()


_ASKED = msgspec.json.Decoder(_Asked)


class EchoTransport:
    """Answers requests without a socket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def open(self, request: Request) -> Reply:
        """Answer a request. Raises: UpstreamError, by the knob ``break_after``."""
        try:
            asked = _ASKED.decode(request.body)
        except msgspec.DecodeError as exc:
            return _EchoReply(400, "application/json", iter([(0, _error(str(exc)))]))
        created = self._clock.wall_us() // 1_000_000
        if request.path == "/embeddings":
            return _EchoReply(200, "application/json", iter([(0, embedding(asked))]))
        name = "chatcmpl-" + hashlib.sha256(request.body).hexdigest()[:24]
        if asked.stream:
            events = _paced(asked, stream_events(asked, name, created))
            return _EchoReply(200, "text/event-stream", events)
        if asked.echo.break_after is not None:
            raise UpstreamError(Kind.BROKEN, "the echo was asked to break")
        delay_ms = asked.echo.delay_ms * _answer(asked)[1]
        return _EchoReply(
            200, "application/json", iter([(delay_ms, completion(asked, name, created))])
        )

    async def aclose(self) -> None:
        """Nothing is open."""


class _EchoReply:
    def __init__(self, status: int, content_type: str, parts: Iterator[tuple[int, bytes]]) -> None:
        self.status = status
        self._content_type = content_type
        self._parts = parts

    def header(self, name: str) -> str:
        return self._content_type if name.lower() == "content-type" else ""

    async def read(self) -> bytes:
        delay_ms, part = next(self._parts, (0, b""))
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        if part is _BREAK:
            raise UpstreamError(Kind.BROKEN, "the echo was asked to break")
        return part

    def close(self) -> None:
        self._parts = iter(())


_BREAK = b"break"


def prompt_tokens(asked: _Asked) -> int:
    """The words of all messages, at least one."""
    return max(1, sum(len(_text(message.content).split()) for message in asked.messages))


def answer_words(asked: _Asked) -> Iterator[str]:
    """The words of the answer, each but the first with the space before it."""
    said, length = _answer(asked)
    for number, word in enumerate(islice(cycle(said), length)):
        yield f" {word}" if number else word


def _answer(asked: _Asked) -> tuple[list[str], int]:
    """What is said again and again, and the length of the answer in words."""
    said = _text(asked.messages[-1].content).split() if asked.messages else []
    said = said or ["echo"]
    limit = asked.max_completion_tokens or asked.max_tokens or len(said)
    return said, asked.echo.words if asked.echo.words is not None else limit


def completion(asked: _Asked, name: str, created: int) -> bytes:
    """A whole answer."""
    return msgspec.json.encode(
        {
            "id": name,
            "object": "chat.completion",
            "created": created,
            "model": asked.model,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "".join(answer_words(asked)),
                        "refusal": None,
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _usage(asked),
        }
    )


def stream_events(asked: _Asked, name: str, created: int) -> Iterator[bytes]:
    """The events of a streamed answer: one a word, the end, usage when asked for, ``[DONE]``."""
    include = asked.echo.usage and asked.stream_options and asked.stream_options.include_usage
    head = {"id": name, "object": "chat.completion.chunk", "created": created, "model": asked.model}
    none = {"usage": None} if include else {}
    for i, word in enumerate(answer_words(asked)):
        delta = {"role": "assistant", "content": word} if i == 0 else {"content": word}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield _event({**head, "choices": [choice], **none})
    last: dict[str, object] = {}
    choice = {"index": 0, "delta": last, "logprobs": None, "finish_reason": "stop"}
    yield _event({**head, "choices": [choice], **none})
    if include:
        yield _event({**head, "choices": [], "usage": _usage(asked)})
    yield b"data: [DONE]\n\n"


def embedding(asked: _Asked) -> bytes:
    """Vectors that depend on nothing but the text."""
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    tokens = sum(len(text.split()) for text in texts)
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": _vector(asked, text)}
                for i, text in enumerate(texts)
            ],
            "model": asked.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _paced(asked: _Asked, events: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    knobs = asked.echo
    if knobs.break_after is not None:
        events = chain(islice(events, knobs.break_after), (_BREAK,))
    if knobs.delay_ms == 0 and knobs.break_after is None:
        yield 0, b"".join(events)
        return
    for event in events:
        yield knobs.delay_ms, event


def _event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _usage(asked: _Asked) -> dict[str, object]:
    prompt, completion_tokens = prompt_tokens(asked), _answer(asked)[1]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _vector(asked: _Asked, text: str) -> list[float] | str:
    digest = hashlib.shake_128(text.encode()).digest(asked.dimensions)
    numbers = [byte / 128 - 1 for byte in digest]
    if asked.encoding_format == "base64":
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return numbers


def _error(message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return msgspec.json.encode({"error": error})


def _text(content: object) -> str:
    return content if isinstance(content, str) else ""
