"""The table of an upstream's faults: what it does, what the caller gets, what is charged."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.fixtures import upstreams
from tests.fixtures.gateway import UPSTREAM_SECRET
from tests.fixtures.upstreams import Script, answer, in_turn, raw, raw_then_reset, stream

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
BILLED = {"input_tokens": 12, "output_tokens": 3}
GUESSED = {"input_tokens": 7, "output_tokens": 2}
"""4 around the message and 12 bytes; 6 bytes of the answer."""
PROMPT = {"input_tokens": 7}
ANSWER_BYTES_MAX = 100_000


def whole(usage: object = USAGE, **more: object) -> bytes:
    message = {"role": "assistant", "content": "abcdef"}
    body = {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
        **more,
    }
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


def chunk(content: str | None = None, finish: str | None = None, **more: object) -> str:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "choices": [choice], **more})


def failure(message: str, code: str | None = None, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "type": None, **more}}).encode()


LAST = json.dumps({"id": "chatcmpl-1", "choices": [], "usage": USAGE})
TEXT = (chunk("abc"), chunk("def"))
STOP = chunk(finish="stop")
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


class Row(NamedTuple):
    """``status`` and ``code`` are what the caller gets, code None for a whole answer."""

    name: str
    streamed: bool
    script: Script | None
    status: int
    code: str | None
    charged: dict[str, int]
    cost: dict[str, int] | None = None
    """None: the same as is charged."""
    outcome: str = "failed"
    error: str | None = None
    """The recorded code, where it is not the one that the caller gets."""


def whole_answer(name: str, streamed: bool, script: Script, charged: dict[str, int]) -> Row:
    return Row(name, streamed, script, 200, None, charged, outcome="completed")


PLAIN, STREAMED = False, True
TABLE = [
    whole_answer("fine", PLAIN, answer("200 OK", whole()), BILLED),
    whole_answer("no-usage", PLAIN, answer("200 OK", whole(None)), GUESSED),
    Row("refused", PLAIN, None, 502, "upstream_unreachable", {}, {}),
    Row("reset-at-once", PLAIN, raw_then_reset(b""), 502, "upstream_broken", {}, PROMPT),
    Row("closed-at-once", PLAIN, raw(b""), 502, "upstream_broken", {}, PROMPT),
    Row("silent", PLAIN, upstreams.silence, 504, "upstream_timeout", {}, PROMPT),
    Row(
        "slow-header",
        PLAIN,
        upstreams.dripping(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20, 0.1),
        504,
        "upstream_timeout",
        {},
        PROMPT,
    ),
    Row("no-http", PLAIN, raw(b"HELO there\r\n\r\n"), 502, "upstream_invalid_response", {}, {}),
    Row("empty", PLAIN, answer("200 OK", b""), 502, "upstream_invalid_response", {}, {}),
    Row("garbage", PLAIN, answer("200 OK", b"{nope"), 502, "upstream_invalid_response", {}, {}),
    Row("no-choice", PLAIN, answer("200 OK", b"{}"), 502, "upstream_invalid_response", {}, {}),
    Row(
        "error-inside",
        PLAIN,
        answer("200 OK", failure("too hot", "overheated")),
        502,
        "overheated",
        {},
        {},
        error="upstream_error",
    ),
    Row(
        "half",
        PLAIN,
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n" + whole()),
        502,
        "upstream_broken",
        {},
        PROMPT,
    ),
    Row(
        "too-large",
        PLAIN,
        answer("200 OK", b" " * (ANSWER_BYTES_MAX + 1) + whole()),
        502,
        "upstream_answer_too_large",
        {},
        PROMPT,
    ),
    Row(
        "moved",
        PLAIN,
        answer("302 Found", b"", "location: http://127.0.0.1:1/"),
        502,
        "upstream_invalid_response",
        {},
        {},
    ),
    Row(
        "bad-request",
        PLAIN,
        answer("400 Bad Request", failure("no such voice", "bad_voice", param="voice")),
        400,
        "bad_voice",
        {},
        {},
        error="upstream_error",
    ),
    Row(
        "rate-limited",
        PLAIN,
        answer("429 Too Many", failure("slow down", "rate_limit_exceeded"), "retry-after: 7"),
        429,
        "rate_limit_exceeded",
        {},
        {},
        error="upstream_error",
    ),
    Row(
        "broken-inside",
        PLAIN,
        answer("500 Oops", b"<html>oops</html>"),
        500,
        "upstream_error",
        {},
        {},
    ),
    Row(
        "wrong-key",
        PLAIN,
        answer("401 No", failure(f"Incorrect key {UPSTREAM_SECRET}", "invalid_api_key")),
        502,
        "upstream_unauthorised",
        {},
        {},
    ),
    whole_answer("stream", STREAMED, raw(stream(*TEXT, STOP, LAST, "[DONE]")), BILLED),
    whole_answer(
        "stream-usage-with-finish",
        STREAMED,
        raw(stream(*TEXT, chunk(finish="stop", usage=USAGE), "[DONE]")),
        BILLED,
    ),
    whole_answer(
        "stream-usage-twice",
        STREAMED,
        raw(
            stream(
                chunk("abc", usage={"prompt_tokens": 12, "completion_tokens": 1}),
                chunk("def", usage={"prompt_tokens": 12, "completion_tokens": 2}),
                STOP,
                LAST,
                "[DONE]",
            )
        ),
        BILLED,
    ),
    whole_answer("stream-usage-without-done", STREAMED, raw(stream(*TEXT, STOP, LAST)), BILLED),
    whole_answer("stream-usage-never", STREAMED, raw(stream(*TEXT, STOP, "[DONE]")), GUESSED),
    Row("stream-empty", STREAMED, raw(stream()), 502, "upstream_invalid_response", {}, {}),
    Row(
        "stream-garbage",
        STREAMED,
        raw(SSE + b"content-length: 5\r\n\r\n<htm>"),
        502,
        "upstream_invalid_response",
        {},
        {},
    ),
    Row(
        "stream-not-streamed",
        STREAMED,
        answer("200 OK", whole()),
        502,
        "upstream_invalid_response",
        {},
        {},
    ),
    Row(
        "stream-rate-limited",
        STREAMED,
        answer("429 Too Many", failure("slow down", "rate_limit_exceeded"), "retry-after: 7"),
        429,
        "rate_limit_exceeded",
        {},
        {},
        error="upstream_error",
    ),
    Row(
        "stream-error-first",
        STREAMED,
        raw(stream(failure("no room", "no_room").decode())),
        502,
        "no_room",
        {},
        {},
        error="upstream_error",
    ),
    Row(
        "stream-error-later",
        STREAMED,
        raw(stream(*TEXT, failure("no room", "no_room").decode())),
        200,
        "no_room",
        GUESSED,
        error="upstream_error",
    ),
    Row("stream-cut", STREAMED, raw(stream(*TEXT)), 200, "upstream_broken", GUESSED),
    Row("stream-torn", STREAMED, raw(stream(*TEXT, end=False)), 200, "upstream_broken", GUESSED),
    Row(
        "stream-reset",
        STREAMED,
        raw_then_reset(stream(*TEXT, end=False)),
        200,
        "upstream_broken",
        GUESSED,
    ),
    Row(
        "stream-silent",
        STREAMED,
        lambda connection, hung_up: (
            connection.sendall(stream(*TEXT, end=False)),
            upstreams.silence(connection, hung_up),
        )[0],
        200,
        "upstream_timeout",
        GUESSED,
    ),
    Row(
        "stream-too-large",
        STREAMED,
        in_turn(stream(*TEXT, end=False), b"%x\r\n" % ANSWER_BYTES_MAX + b" " * ANSWER_BYTES_MAX),
        200,
        "upstream_answer_too_large",
        GUESSED,
    ),
]
SCRIPTS = {row.name: row.script for row in TABLE if row.script is not None} | {
    "endless": upstreams.endless(0.02, TEXT[0], TEXT[1]),
    "never-begins": upstreams.silence,
    "asked": answer("200 OK", whole(numbers=1)),
}
