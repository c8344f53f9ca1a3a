"""OpenAI's wire format, asked of an upstream: pure functions.

Source: OpenAI's OpenAPI description, createChatCompletion, createEmbedding, Error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

PATHS = {"chat": "/chat/completions", "embeddings": "/embeddings"}
"""What follows an upstream's base URL, by the kind of call."""

MESSAGE_CHARS_MAX = 2000
UNAUTHORISED = (401, 402, 403, 407)
"""Statuses that speak of our account with the upstream, not of the caller's with us."""

CODES = {"exceed_context_size_error": "context_length_exceeded"}
"""Codes for errors that llama.cpp's server names by their type alone."""

_OPTIONS = msgspec.json.Decoder(dict[str, Raw])
_TRUE = Raw(b"true")


class _ErrorObject(msgspec.Struct):
    message: object = None
    type: object = None
    param: object = None
    code: object = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject


_Ms = Annotated[float, Meta(ge=0, le=1e9)]


class _Timings(msgspec.Struct):
    prompt_ms: _Ms
    predicted_ms: _Ms


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream says of a request that it did not answer."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | None = None


_FAULT = msgspec.json.Decoder(_ErrorBody)
_TIMED = msgspec.json.Decoder(_Timings)
_TIMINGS = re.compile(rb'"timings"\s*:\s*(\{[^{}]*\})')


def encode(fields: Mapping[str, Raw], model: str, *, streamed: bool) -> bytes:
    """The body for an upstream that calls the model ``model``.

    All other fields stay as the caller wrote them, byte for byte; a name that came twice is sent
    once. A stream is asked to report its usage.
    """
    sent = dict(fields)
    sent["model"] = Raw(msgspec.json.encode(model))
    if streamed:
        sent["stream_options"] = _with_usage(fields.get("stream_options"))
    return msgspec.json.encode(sent)


def fault(body: bytes) -> Fault:
    """What an error's body says, bounded; nothing where it is not in OpenAI's shape."""
    try:
        found = _FAULT.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault()
    kind = _text(found.type)
    return Fault(
        message=_text(found.message),
        type=kind,
        param=_text(found.param),
        code=_text(found.code) or (None if kind is None else CODES.get(kind)),
    )


def _with_usage(options: Raw | None) -> Raw:
    given = {} if options is None or bytes(options) == b"null" else _OPTIONS.decode(options)
    given.pop("include_cost", None)  # ours to answer
    return Raw(msgspec.json.encode({**given, "include_usage": _TRUE}))


def _text(value: object) -> str | None:
    return value[:MESSAGE_CHARS_MAX] if isinstance(value, str) else None


def compute_ms(data: bytes) -> int | None:
    """The milliseconds that llama.cpp says it computed, begun ones whole; None where it doesn't.

    Source: llama.cpp's server, ``timings`` of an answer or of a stream's last chunk.
    """
    found = _TIMINGS.search(data)
    if found is None:
        return None
    try:
        timings = _TIMED.decode(found.group(1))
    except msgspec.DecodeError:
        return None
    return math.ceil(timings.prompt_ms + timings.predicted_ms)
