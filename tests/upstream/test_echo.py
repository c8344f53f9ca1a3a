"""The echo says what was said, in OpenAI's shapes, and counts words."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai.types.chat as chat_types
import pytest
from openai.types import CreateEmbeddingResponse

from steelyard.upstream.echo import EchoTransport
from steelyard.upstream.transport import Kind, Request, UpstreamError, read_whole
from steelyard.values.clock import FixedClock

SAID = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one two three"}]


async def ask(path: str = "/chat/completions", **body: Any) -> tuple[int, bytes]:
    full = {"model": "echo-1", "messages": SAID} | body
    reply = await EchoTransport(FixedClock()).open(Request(path, json.dumps(full).encode()))
    return reply.status, await read_whole(reply)


def events(body: bytes) -> list[str]:
    return [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]


ANSWERS = [
    # what is asked for, what is said
    ({}, "one two three"),
    ({"max_tokens": 2}, "one two"),
    ({"max_completion_tokens": 1}, "one"),
    ({"max_tokens": 4}, "one two three one"),
    ({"max_tokens": 1, "echo": {"words": 5}}, "one two three one two"),
    ({"echo": {"words": 0}}, ""),
    ({"messages": []}, "echo"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "echo"),
]


@pytest.mark.parametrize(("more", "said"), ANSWERS)
async def test_answers(more, said):
    status, body = await ask(**more)
    answer = chat_types.ChatCompletion.model_validate_json(body)
    assert status == 200
    assert answer.choices[0].message.content == said
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(said.split())
    assert answer.created == 1_795_478_400
    assert (await ask(**more)) == (status, body)


@pytest.mark.parametrize("include", [True, False])
async def test_stream(include):
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": include}}
    _, body = await ask(**options)
    *chunks, done = events(body)
    assert done == "[DONE]"
    parsed = [chat_types.ChatCompletionChunk.model_validate_json(chunk) for chunk in chunks]
    words = [chunk.choices[0].delta.content for chunk in parsed if chunk.choices]
    assert words == ["one", " two", " three", None]
    usage = [chunk.usage.total_tokens for chunk in parsed if chunk.usage]
    assert usage == ([8] if include else [])


async def test_a_stream_that_keeps_its_usage_to_itself():
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    _, body = await ask(**options, echo={"usage": False})
    assert b"prompt_tokens" not in body


@pytest.mark.parametrize("stream", [True, False])
async def test_it_breaks_when_asked_to(stream):
    with pytest.raises(UpstreamError) as caught:
        await ask(stream=stream, echo={"break_after": 1, "delay_ms": 1})
    assert caught.value.kind is Kind.BROKEN


async def test_embeddings():
    _, body = await ask("/embeddings", input=["a b", "c"], dimensions=4)
    made = CreateEmbeddingResponse.model_validate_json(body)
    assert [len(each.embedding) for each in made.data] == [4, 4]
    assert all(-1 <= number < 1 for number in made.data[0].embedding)
    assert made.usage.prompt_tokens == 3
    _, packed = await ask("/embeddings", input="a b", dimensions=4, encoding_format="base64")
    assert len(base64.b64decode(json.loads(packed)["data"][0]["embedding"])) == 16


@pytest.mark.parametrize("more", [{"max_tokens": -1}, {"echo": {"words": 10**6}}, {"stream": 1}])
async def test_it_refuses_what_it_does_not_understand(more):
    status, body = await ask(**more)
    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
