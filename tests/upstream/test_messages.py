"""A transport that asks for messages: what is sent, with which key, and what is not sent."""

from __future__ import annotations

import json

import pytest

from steelyard.upstream.keyed import Keyed
from steelyard.upstream.keyring import Credential, Keyring
from steelyard.upstream.messages import Messages
from steelyard.upstream.openai import PATHS, fault
from steelyard.upstream.transport import Reply, Request, read_whole
from steelyard.values.clock import FixedClock

CHAT = b'{"model":"m","messages":[{"role":"user","content":"a"}]}'
REFUSED = [
    (Request(PATHS["embeddings"], b'{"model":"m","input":"a"}'), "model"),
    (Request(PATHS["chat"], CHAT[:-1] + b',"seed":1}'), "seed"),
]


class Answer:
    """An answer that comes in parts."""

    def __init__(self, status: int, *parts: bytes) -> None:
        self.status = status
        self.closed = False
        self._parts = list(parts)

    def header(self, name: str) -> str:
        return "7" if name == "retry-after" else ""

    async def read(self) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    def close(self) -> None:
        self.closed = True


class Scripted:
    """A transport that keeps what it is asked, and answers with this."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    async def open(self, request: Request) -> Reply:
        self.asked.append(request)
        return self.answer

    async def aclose(self) -> None:
        self.asked.clear()


def clock() -> FixedClock:
    return FixedClock(5_000_000)


async def test_what_is_sent():
    inner = Scripted(Answer(200, b"{}"))
    keyring = Keyring([Credential("A", "sk-a")])
    keyed = Keyed(Messages(inner, clock()), keyring, clock(), print)
    await keyed.open(Request(PATHS["chat"], CHAT, (("traceparent", "00-1"),)))
    (sent,) = inner.asked
    assert (sent.path, sent.key) == ("/messages", None)
    assert dict(sent.headers) == {
        "traceparent": "00-1",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-a",
    }
    assert json.loads(sent.body)["model"] == "m"
    assert "sk-a" not in repr(sent)


async def test_no_key_is_sent_where_there_is_none():
    inner = Scripted(Answer(200, b"{}"))
    await Messages(inner, clock()).open(Request(PATHS["chat"], CHAT))
    assert "x-api-key" not in dict(inner.asked[0].headers)


@pytest.mark.parametrize(("request_", "param"), REFUSED)
async def test_what_is_refused_is_not_sent(request_, param):
    inner = Scripted(Answer(200))
    reply = await Messages(inner, clock()).open(request_)
    told = fault(await read_whole(reply))
    assert (reply.status, told.code, told.param) == (400, "invalid_parameter", param)
    assert not inner.asked


async def test_a_refusal_has_its_code_and_its_head():
    said = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}'
    inner = Scripted(Answer(429, said[:20], said[20:]))
    reply = await Messages(inner, clock()).open(Request(PATHS["chat"], CHAT))
    told = fault(await read_whole(reply))
    assert (reply.status, reply.header("retry-after")) == (429, "7")
    assert (told.code, told.message) == ("rate_limit_error", "Slow down")
    reply.close()
    assert inner.answer.closed
