"""Answers: what an upstream's answer, streamed or whole, says of its own size."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

ID_CHARS_MAX = 128
_ERROR_BYTES_MAX = 64 << 10

_STRING = rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"'
_OUTPUT = re.compile(rb'"(?:content|arguments|refusal)"' + _STRING, re.DOTALL)
_COMPLETION = re.compile(rb'"text"' + _STRING, re.DOTALL)
_REASONING_CONTENT = re.compile(rb'"reasoning_content"' + _STRING, re.DOTALL)
_REASONING = re.compile(rb'"reasoning"' + _STRING, re.DOTALL)


class Texts(msgspec.Struct, frozen=True):
    """An answer's text, as far as it was kept. Unit: ``more_bytes`` UTF-8 bytes not kept."""

    output: str
    reasoning: str = ""
    more_bytes: int = 0


class Mark(msgspec.Struct, frozen=True):
    """How much text has come. Unit: bytes of JSON, as escaped."""

    output: int
    reasoning: int
    more_bytes: int
    chunks: int


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream's answer said.

    ``usage`` is the upstream's own, None when it never told. ``done`` says that ``[DONE]`` came,
    ``finished`` that the answer has an end (a finish reason is one). ``error`` is the payload of an
    error event. ``chunks`` counts the delivered events with content.
    ``produced`` is the text that came, None where usage makes counting it needless; ``delivered``
    what of it reached the caller, None when all did.
    """

    usage: dict[str, object] | None
    done: bool
    finished: bool
    error: bytes | None
    chunks: int
    upstream_id: str | None
    produced: Texts | None
    delivered: Texts | None
    service_tier: str | None = None
    """The service that was given, in the upstream's words."""


NOTHING = Reading(
    usage=None,
    done=False,
    finished=False,
    error=None,
    chunks=0,
    upstream_id=None,
    produced=Texts(""),
    delivered=None,
)
"""What an answer says that never came."""


class _Status(msgspec.Struct):
    status_code: object = 0


class _Failure(msgspec.Struct):
    error: object = None
    base_resp: _Status | None = None


_NULL = Raw(b"null")


class _Body(msgspec.Struct):
    usage: dict[str, object] | None = None
    choices: Raw = _NULL
    data: Raw = _NULL
    id: object = None
    error: Raw = _NULL
    base_resp: Raw = _NULL
    service_tier: object = None


_FAILURE = msgspec.json.Decoder(_Failure)
_BODY = msgspec.json.Decoder(_Body)


def read_body(body: bytes) -> Reading:
    """Read a whole answer; one that is empty or no JSON has no end and no usage."""
    try:
        found = _BODY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        found = _Body(error=Raw(body))
    texts = None
    may_have_failed = found.error is not _NULL or found.base_resp is not _NULL
    choices = bytes(found.choices)
    if not found.usage:
        output, reasoning = find_texts(choices, streamed=False)
        texts = Texts(unescape(b"".join(output)), unescape(b"".join(reasoning)))
    answered = choices not in (b"null", b"[]") or bytes(found.data) != b"null"
    return Reading(
        usage=found.usage or None,
        done=False,
        finished=answered,
        error=body[:_ERROR_BYTES_MAX] if may_have_failed and failed(body) else None,
        chunks=int(answered),
        upstream_id=found.id[:ID_CHARS_MAX] if isinstance(found.id, str) else None,
        produced=texts,
        delivered=None,
        service_tier=found.service_tier if isinstance(found.service_tier, str) else None,
    )


def failed(payload: bytes) -> bool:
    """Whether an answer, or an event of one, is an error that came with status 200.

    Source: OpenAI's error object; MiniMax ``base_resp.status_code`` other than 0.
    """
    if b'"error"' not in payload and b'"base_resp"' not in payload:
        return False
    try:
        found = _FAILURE.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return False
    refused = found.base_resp is not None and found.base_resp.status_code != 0
    return found.error is not None or refused


def find_texts(payload: bytes, *, streamed: bool) -> tuple[list[bytes], list[bytes]]:
    """The texts of an answer, or of one event, still escaped: what was said, what was thought.

    Found by name without parsing: inside a JSON string the quotes around a name are escaped, so
    that no text can look like a field. An event that repeats the whole answer (MiniMax) has no
    ``delta``, and says nothing new.
    """
    if streamed and b'"delta"' not in payload:
        return _COMPLETION.findall(payload) if b'"text"' in payload else [], []
    reasoning: list[bytes] = []
    if b'"reasoning' in payload:
        reasoning = _REASONING_CONTENT.findall(payload) or _REASONING.findall(payload)
        if not any(reasoning) and b'"reasoning_details"' in payload:
            reasoning = _COMPLETION.findall(payload)
    output: list[bytes] = _OUTPUT.findall(payload)
    if not streamed and not output and not reasoning:
        output = _COMPLETION.findall(payload)
    return [text for text in output if text], [text for text in reasoning if text]


def unescape(escaped: bytes) -> str:
    """The text of a JSON string's inside."""
    try:
        return msgspec.json.decode(b'"' + escaped + b'"', type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return escaped.decode("utf-8", "replace")


class _Named(msgspec.Struct):
    id: object = None


_NAMED = msgspec.json.Decoder(_Named)


def id_of(payload: bytes) -> str | None:
    """What the upstream calls an answer, bounded; None where it doesn't."""
    try:
        found = _NAMED.decode(payload).id
    except (msgspec.DecodeError, RecursionError):
        return None
    return found[:ID_CHARS_MAX] if isinstance(found, str) and found else None
