"""What the table's upstreams say: answers, events and errors, and what they come to."""

from __future__ import annotations

import json

from tests.fixtures.upstreams import Script, answer, stream

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
TOLD = {"input_tokens": 12, "output_tokens": 3}
GUESSED = {"input_tokens": 7, "output_tokens": 2}
"""4 around the message and 12 bytes; 6 bytes of the answer."""
PROMPT = {"input_tokens": 7}
NOTHING: dict[str, int] = {}
ANSWER_BYTES_MAX = 100_000


def usage(**more: object) -> dict[str, object]:
    return USAGE | more


def whole(told: object = USAGE, **more: object) -> bytes:
    message = {"role": "assistant", "content": "abcdef"}
    body = {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": told,
        **more,
    }
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


def chunk(content: str | None = None, finish: str | None = None, **more: object) -> str:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "choices": [choice], **more})


def failure(message: str, code: str | None = None, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "type": None, **more}}).encode()


def ok(told: object) -> Script:
    return answer("200 OK", whole(told))


def last(told: object) -> str:
    return json.dumps({"id": "chatcmpl-1", "choices": [], "usage": told})


LAST = last(USAGE)
TEXT = (chunk("abc"), chunk("def"))
STOP = chunk(finish="stop")
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BEGUN = stream(*TEXT, end=False)
EVENTS = "".join(f"data: {event}\n\n" for event in TEXT).encode()
BUSY = failure("slow down", "rate_limit_exceeded")
