"""Upstreams of Anthropic's Messages: what they say as it is on the wire, and what it comes to.

Source: Anthropic's API reference, Messages, Streaming Messages, Errors.
"""

from __future__ import annotations

import json

from tests.edge.answers import JSON, NOTHING, SSE, TOLD
from tests.edge.rows import Row
from tests.fixtures.upstreams import Script, answer, raw, raw_then_reset

USAGE = {"input_tokens": 12, "output_tokens": 3}
BEGINNING = {"input_tokens": 12, "output_tokens": 1}
ZEROS = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
CACHED = {
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
}
BY_LIFETIME = {
    "input_tokens": 12,
    "cached_input_tokens": 4,
    "cache_write_5m_tokens": 3,
    "cache_write_1h_tokens": 2,
    "output_tokens": 3,
}


def message(told: object = USAGE, **more: object) -> dict[str, object]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "abcdef"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": told,
        **more,
    }


def event(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def start(told: object = BEGINNING) -> bytes:
    return event("message_start", message=message(told, content=[], stop_reason=None))


def text(said: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})


def end(told: object, reason: str = "end_turn") -> bytes:
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=told)


def failed(kind: str, says: str) -> bytes:
    return event("error", error={"type": kind, "message": says})


PING = event("ping")
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""}) + PING
TEXT = OPEN + text("abc") + text("def") + event("content_block_stop", index=0)
STOP = event("message_stop")
OVERLOADED = failed("overloaded_error", "Overloaded")


def stream(*events: bytes, whole: bool = True) -> bytes:
    body = b"".join(events)
    return SSE + b"content-length: %d\r\n\r\n" % (len(body) + (not whole)) + body


def sound(name: str, says: str, script: Script, charged: dict[str, int]) -> Row:
    return Row(name, says, script, 200, None, charged, charged, "completed", kind="anthropic")


def fails(
    name: str,
    says: str,
    script: Script,
    got: tuple[int, str],
    money: tuple[dict[str, int], dict[str, int]],
    error: str | None = None,
) -> Row:
    status, code = got
    return Row(name, says, script, status, code, *money, error=error, kind="anthropic")


PROMPT = {"input_tokens": 12}
CUT = {"input_tokens": 12, "output_tokens": 2}

ROWS = [
    sound(
        "messages",
        "Usage of a whole message.",
        answer("200 OK", json.dumps(message()).encode()),
        TOLD,
    ),
    sound(
        "messages-cached",
        "Reads and writes of a cache beside the prompt's count, writes by lifetime.",
        answer("200 OK", json.dumps(message(USAGE | CACHED)).encode()),
        BY_LIFETIME,
    ),
    sound(
        "messages-zero",
        "A zero that is told is a zero.",
        answer("200 OK", json.dumps(message(USAGE | ZEROS | {"output_tokens": 0})).encode()),
        {
            "input_tokens": 12,
            "cached_input_tokens": 0,
            "cache_write_tokens": 0,
            "output_tokens": 0,
        },
    ),
    sound(
        "stream-messages",
        "A stream: the prompt's count in `message_start`, the answer's in `message_delta`.",
        raw(stream(start(), TEXT, end({"output_tokens": 3}), STOP)),
        TOLD,
    ),
    sound(
        "stream-messages-cached-late",
        "The cache's counts only in `message_delta`.",
        raw(stream(start(), TEXT, end({"output_tokens": 3, **CACHED}), STOP)),
        BY_LIFETIME,
    ),
    sound(
        "stream-messages-zero",
        "Zeros in both: the later one holds, and is a zero.",
        raw(
            stream(
                start(BEGINNING | CACHED | {"cache_creation": None}),
                TEXT,
                end({"output_tokens": 0, **ZEROS}),
                STOP,
            )
        ),
        {
            "input_tokens": 12,
            "cached_input_tokens": 0,
            "cache_write_tokens": 0,
            "output_tokens": 0,
        },
    ),
    sound(
        "stream-messages-uncounted",
        "No count in `message_delta`: the answer is counted here.",
        raw(stream(start(), TEXT, end(None), STOP)),
        CUT,
    ),
    fails(
        "messages-half",
        "An end before `content-length`.",
        raw(JSON + b"content-length: 999\r\n\r\n" + json.dumps(message()).encode()),
        (502, "upstream_broken"),
        (NOTHING, {"input_tokens": 7}),
    ),
    fails(
        "messages-overloaded",
        "529.",
        answer("529 Overloaded", OVERLOADED.split(b"data: ")[1]),
        (529, "overloaded_error"),
        (NOTHING, NOTHING),
        "upstream_error",
    ),
    fails(
        "stream-messages-error-first",
        "An error event after `message_start`.",
        raw(stream(start(), PING, OVERLOADED)),
        (502, "overloaded_error"),
        (NOTHING, NOTHING),
        "upstream_error",
    ),
    fails(
        "stream-messages-error-later",
        "An error event after some text: the prompt as told, the answer counted here.",
        raw(stream(start(), TEXT, OVERLOADED)),
        (200, "overloaded_error"),
        (CUT, CUT),
        "upstream_error",
    ),
    fails(
        "stream-messages-begun",
        "An end after `message_start`: the prompt's count is known already.",
        raw(stream(start(), PING, whole=False)),
        (502, "upstream_broken"),
        (NOTHING, PROMPT),
    ),
    fails(
        "stream-messages-cut",
        "A reset after some text: the prompt as told, the answer counted here.",
        raw_then_reset(stream(start(), TEXT, whole=False)),
        (200, "upstream_broken"),
        (CUT, CUT),
    ),
]
