"""Anthropic's answers, whole and streamed, made into OpenAI's: pure functions.

Source: Anthropic's API reference, Messages, Streaming Messages, Errors, Prompt caching.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec
from msgspec import Raw

COUNT_MAX = 2**53

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""OpenAI's finish reasons, by the reason for which a message stops."""

_EVENT_END = re.compile(rb"\r?\n\r?\n")
_END_BYTES_MAX = 4


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Answer(msgspec.Struct):
    content: list[_Block]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: dict[str, object] | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    message: _Answer | None = None
    index: int = 0
    content_block: _Block | None = None
    delta: _Delta = msgspec.field(default_factory=_Delta)
    usage: dict[str, object] | None = None


class _ErrorObject(msgspec.Struct):
    type: str
    message: str = ""


class _Error(msgspec.Struct):
    error: _ErrorObject


_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)
_ERROR = msgspec.json.Decoder(_Error)


def decode(body: bytes, created: int) -> bytes:
    """A whole answer as OpenAI's; what is none stays as it is. Unit: ``created`` s since 1970."""
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return error(body)
    message: dict[str, object] = {"role": "assistant"}
    message["content"] = "".join(block.text for block in answer.content if block.type == "text")
    thought = "".join(block.thinking for block in answer.content if block.type == "thinking")
    if thought:
        message["reasoning_content"] = thought
    calls = [block for block in answer.content if block.type == "tool_use"]
    if calls:
        message["tool_calls"] = [_called(call, bytes(call.input).decode()) for call in calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer.stop_reason)}
    head = {"id": answer.id, "object": "chat.completion", "created": created}
    told = {} if answer.usage is None else {"usage": usage(answer.usage), **_tier(answer.usage)}
    return msgspec.json.encode({**head, "model": answer.model, "choices": [choice], **told})


def error(body: bytes) -> bytes:
    """An error in OpenAI's shape, its type also its code; what is none stays as it is."""
    try:
        found = _ERROR.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    return failure(found.message, found.type, found.type)


def failure(message: str, kind: str, code: str, param: str | None = None) -> bytes:
    """An error in OpenAI's shape."""
    told = {"message": message, "type": kind, "param": param, "code": code}
    return msgspec.json.encode({"error": told})


def usage(told: Mapping[str, object]) -> dict[str, object]:
    """Usage as OpenAI tells it: what is read from and written to a cache is in the prompt's count.

    A count that is not told stays away; a zero is told. Writes whose lifetime is not told are
    ``cache_write_tokens``.
    """
    fresh, output = _count(told, "input_tokens"), _count(told, "output_tokens")
    read = _count(told, "cache_read_input_tokens")
    lifetimes = told.get("cache_creation")
    by_lifetime = cast("Mapping[str, object]", lifetimes if isinstance(lifetimes, dict) else {})
    short = _count(by_lifetime, "ephemeral_5m_input_tokens")
    long = _count(by_lifetime, "ephemeral_1h_input_tokens")
    named = (short or 0) + (long or 0)
    written = _count(told, "cache_creation_input_tokens")
    rest = None if written is None else max(0, written - named)
    if not rest and not (short is None and long is None):
        rest = None
    parts = {
        "cached_tokens": read,
        "cache_write_tokens": rest,
        "cache_write_5m_tokens": short,
        "cache_write_1h_tokens": long,
    }
    details = {name: units for name, units in parts.items() if units is not None}
    found: dict[str, object] = {}
    if fresh is not None:
        prompt = fresh + sum(details.values())
        found = {"prompt_tokens": prompt, "prompt_tokens_details": details}
        if output is not None:
            found["total_tokens"] = prompt + output
    if output is not None:
        found["completion_tokens"] = output
    return found


def _tier(told: Mapping[str, object]) -> dict[str, object]:
    """The service that was given, beside the usage, where OpenAI tells it."""
    tier = told.get("service_tier")
    return {} if tier is None else {"service_tier": "default" if tier == "standard" else tier}


class Stream:
    """Makes OpenAI's chunks of a message's events, in whatever pieces these come.

    Unit: ``created`` seconds since 1970.
    """

    def __init__(self, created: int) -> None:
        self._head: dict[str, object] = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": created,
            "model": "",
        }
        self._buffer = bytearray()
        self._searched = 0
        self._role: dict[str, object] = {"role": "assistant"}
        """Said with the first that is said, so that nothing is given before there is something."""
        self._usage: dict[str, object] = {}
        self._told: dict[str, object] = {}
        self._calls: dict[int, int] = {}
        """The place of each call of a tool, by its block's."""

    def feed(self, data: bytes) -> bytes:
        """Take what came; the chunks that it makes come back."""
        buffer = self._buffer
        buffer += data
        made: list[bytes] = []
        start = 0
        while end := _EVENT_END.search(buffer, self._searched):
            made.append(self._event(bytes(buffer[start : end.start()])))
            start = self._searched = end.end()
        del buffer[:start]
        self._searched = max(0, len(buffer) - _END_BYTES_MAX + 1)
        return b"".join(made)

    def finish(self) -> bytes:
        """The upstream ended: take a last event without an end, should it be whole."""
        payload = _payload(bytes(self._buffer))
        self._buffer.clear()
        self._searched = 0
        try:
            return self._translated(_EVENT.decode(payload), payload) if payload else b""
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return b""

    def _event(self, event: bytes) -> bytes:
        payload = _payload(event)
        if not payload:
            return b""
        try:
            return self._translated(_EVENT.decode(payload), payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = "An event of the model's upstream was not understood."
            return _framed(failure(told, "api_error", "upstream_invalid_response"))

    def _translated(self, event: _Event, payload: bytes) -> bytes:
        match event.type:
            case "message_start" if event.message is not None:
                self._head |= {"id": event.message.id, "model": event.message.model}
                self._note(event.message.usage)
                # What the answer's count begins with says nothing of how long it becomes.
                self._usage.pop("output_tokens", None)
                return self._tell_usage()
            case "content_block_start" if event.content_block is not None:
                return self._block(event.index, event.content_block)
            case "content_block_delta":
                return self._delta(event.index, event.delta)
            case "message_delta":
                self._note(event.usage)
                if event.delta.stop_reason is None:
                    return b""
                return self._chunk({}, _finish(event.delta.stop_reason)) + self._tell_usage()
            case "message_stop":
                return self._tell_usage() + b"data: [DONE]\n\n"
            case "error":
                return _framed(error(payload))
            case _:  # pings, ends of blocks, and whatever a later version adds
                return b""

    def _note(self, told: Mapping[str, object] | None) -> None:
        """The later count holds, field by field."""
        for name, value in (told or {}).items():
            if value is not None:
                self._usage[name] = value

    def _tell_usage(self) -> bytes:
        told = usage(self._usage)
        if told == self._told:
            return b""
        self._told = told
        event: dict[str, object] = {
            **self._head,
            "choices": [],
            "usage": told,
            **_tier(self._usage),
        }
        return _framed(msgspec.json.encode(event))

    def _block(self, index: int, block: _Block) -> bytes:
        if block.type == "tool_use":
            place = self._calls[index] = len(self._calls)
            return self._chunk({"tool_calls": [{"index": place, **_called(block, "")}]})
        return self._delta(index, _Delta(text=block.text, thinking=block.thinking))

    def _delta(self, index: int, delta: _Delta) -> bytes:
        said: dict[str, object] = {}
        if delta.text:
            said["content"] = delta.text
        if delta.thinking:
            said["reasoning_content"] = delta.thinking
        if delta.partial_json and index in self._calls:
            more = {"arguments": delta.partial_json}
            said["tool_calls"] = [{"index": self._calls[index], "function": more}]
        return self._chunk(said) if said else b""

    def _chunk(self, delta: dict[str, object], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": self._role | delta, "finish_reason": finish}
        self._role = {}
        return _framed(msgspec.json.encode({**self._head, "choices": [choice]}))


def _payload(event: bytes) -> bytes:
    """An event's data. Source: HTML Living Standard, 9.2.6 Interpreting an event stream."""
    lines = event.split(b"\n")
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))


def _framed(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _called(block: _Block, arguments: str) -> dict[str, object]:
    function = {"name": block.name, "arguments": arguments}
    return {"id": block.id, "type": "function", "function": function}


def _finish(reason: str | None) -> str:
    return FINISHES.get(reason or "end_turn", "stop")


def _count(table: Mapping[str, object], name: str) -> int | None:
    value = table.get(name)
    return value if type(value) is int and 0 <= value <= COUNT_MAX else None
