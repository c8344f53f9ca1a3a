"""A chat asked of Anthropic's Messages, and a message's answer as a chat's."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.metering.streams import StreamWeigher
from steelyard.metering.usage import openai_usage
from steelyard.upstream import anthropic
from steelyard.upstream.anthropic import Stream
from steelyard.upstream.anthropic_request import OUTPUT_TOKENS, UntranslatableError, encode
from tests.edge.messages import (
    BY_LIFETIME,
    CACHED,
    OPEN,
    OVERLOADED,
    PING,
    STOP,
    TEXT,
    USAGE,
    ZEROS,
    end,
    event,
    message,
    start,
    text,
)

HELLO = {"role": "user", "content": "Hello"}
SAID = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
BARE = {"model": "claude", "max_tokens": OUTPUT_TOKENS, "messages": [SAID]}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "rain", "arguments": '{"a":1}'}}
RAIN = {"name": "rain", "description": "Will it?", "parameters": {"type": "object"}}
TOOLS = {"tools": [{"type": "function", "function": RAIN}]}
RAIN_TOOL = {"name": "rain", "description": "Will it?", "input_schema": {"type": "object"}}
MARK = {"type": "ephemeral", "ttl": "1h"}
THE_TOOL = {"type": "function", "function": {"name": "rain"}}

ASKED = [
    ("no length", {}, {}),
    ("length", {"max_tokens": 7}, {"max_tokens": 7}),
    ("the newer name", {"max_completion_tokens": 7}, {"max_tokens": 7}),
    ("one stop", {"stop": "x"}, {"stop_sequences": ["x"]}),
    ("stops", {"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
    ("knobs", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    ("stream", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    ("user", {"user": "u1"}, {"metadata": {"user_id": "u1"}}),
    ("what asks for nothing", {"n": 1, "seed": None, "presence_penalty": 0}, {}),
    ("tools", TOOLS, {"tools": [RAIN_TOOL], "tool_choice": {"type": "auto"}}),
    (
        "one tool at a time",
        {**TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [RAIN_TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    ),
    (
        "this tool",
        {**TOOLS, "tool_choice": THE_TOOL},
        {"tools": [RAIN_TOOL], "tool_choice": {"type": "tool", "name": "rain"}},
    ),
]


@pytest.mark.parametrize(("name", "asked", "sent"), ASKED)
def test_what_is_asked(name, asked, sent):
    body = json.dumps({"model": "claude", "messages": [HELLO], **asked}).encode()
    assert json.loads(encode(body)) == BARE | sent


def test_numbers_stay_digit_for_digit():
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"temperature":0.10}'
    assert b'"temperature":0.10' in encode(body)


def test_a_conversation():
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Rain?", "cache_control": MARK}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "no"},
    ]
    sent = json.loads(encode(json.dumps({"model": "m", "messages": said}).encode()))
    assert sent["system"] == [{"type": "text", "text": "Be brief."}]
    user, assistant, tool = sent["messages"]
    assert user["content"] == [{"type": "text", "text": "Rain?", "cache_control": MARK}]
    use = {"type": "tool_use", "id": "toolu_1", "name": "rain", "input": {"a": 1}}
    assert assistant == {"role": "assistant", "content": [use]}
    content = [{"type": "text", "text": "no"}]
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content}
    assert tool == {"role": "user", "content": [result]}


NO_TABLE = {"function": {"name": "x", "arguments": "[1]"}}
REFUSED = [
    ({"n": 2}, "n"),
    ({"seed": 1}, "seed"),
    ({"logprobs": True}, "logprobs"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"tools": [{"type": "custom", "function": {"name": "x"}}]}, "tools"),
    ({**TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
    ({"messages": [{"role": "robot", "content": "a"}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [NO_TABLE]}]}, "messages"),
]


@pytest.mark.parametrize(("asked", "param"), REFUSED)
def test_what_can_not_be_asked_is_refused(asked, param):
    body = json.dumps({"model": "m", "messages": [HELLO], **asked}).encode()
    with pytest.raises(UntranslatableError) as raised:
        encode(body)
    assert raised.value.param == param


TOLD = [
    (USAGE, {"input_tokens": 12, "output_tokens": 3}),
    (
        USAGE | {"cache_read_input_tokens": 4, "cache_creation_input_tokens": None},
        {"input_tokens": 12, "cached_input_tokens": 4, "output_tokens": 3},
    ),
    (
        USAGE | {"cache_creation_input_tokens": 5},
        {"input_tokens": 12, "cache_write_tokens": 5, "output_tokens": 3},
    ),
    (USAGE | CACHED, BY_LIFETIME),
    (USAGE | CACHED | {"cache_creation_input_tokens": None}, BY_LIFETIME),
    (
        USAGE | CACHED | {"cache_creation_input_tokens": 9},
        BY_LIFETIME | {"cache_write_tokens": 4},
    ),
    (
        USAGE | ZEROS,
        {
            "input_tokens": 12,
            "cached_input_tokens": 0,
            "cache_write_tokens": 0,
            "output_tokens": 3,
        },
    ),
    ({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 0, "output_tokens": 0}),
    ({"input_tokens": -1, "output_tokens": "3"}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("told", "meters"), TOLD)
def test_usage_becomes_disjoint_meters(told, meters):
    found = openai_usage(anthropic.usage(told))
    assert (found.meters, found.faults) == (meters, ())


COUNTS = st.none() | st.integers(0, 2**40)
NAMES = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
LIFETIMES = ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]


@given(
    st.dictionaries(st.sampled_from(NAMES), COUNTS),
    st.none() | st.dictionaries(st.sampled_from(LIFETIMES), COUNTS),
)
def test_each_token_is_counted_once(told, lifetimes):
    told = {"input_tokens": 1, **{name: n for name, n in told.items() if n is not None}}
    by_lifetime = sum(units or 0 for units in (lifetimes or {}).values())
    meters = openai_usage(anthropic.usage({**told, "cache_creation": lifetimes})).meters
    assert meters.get("output_tokens") == told.get("output_tokens")
    assert meters["input_tokens"] == told["input_tokens"]
    assert meters.get("cached_input_tokens") == told.get("cache_read_input_tokens")
    written = sum(units for name, units in meters.items() if name.startswith("cache_write"))
    assert written == max(told.get("cache_creation_input_tokens", 0), by_lifetime)


def test_a_whole_answer():
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "text", "text": "abc"},
        {"type": "text", "text": "def"},
        {"type": "tool_use", "id": "toolu_1", "name": "rain", "input": {"a": 1}},
    ]
    body = json.dumps(message(content=content, stop_reason="tool_use")).encode()
    found = json.loads(anthropic.decode(body, 5))
    assert (found["id"], found["created"], found["object"]) == ("msg_01", 5, "chat.completion")
    (choice,) = found["choices"]
    assert choice["finish_reason"] == "tool_calls"
    said = choice["message"]
    assert (said["content"], said["reasoning_content"]) == ("abcdef", "Hm.")
    (call,) = said["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"a": 1}
    assert found["usage"]["total_tokens"] == 15


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"{n", b"[" * 5000, b'"\xff"'])
def test_what_is_no_answer_stays_as_it_is(body):
    assert anthropic.decode(body, 5) == body


def chunks(made: bytes) -> list[dict]:
    events = made.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")
    return [json.loads(each.removeprefix(b"data: ")) for each in events if each]


USE = {"type": "tool_use", "id": "t", "name": "rain", "input": {}}
ARGUMENTS = [{"type": "input_json_delta", "partial_json": part} for part in ('{"a', '":1}')]
TOOL = event("content_block_start", index=1, content_block=USE)
TOOL += b"".join(event("content_block_delta", index=1, delta=part) for part in ARGUMENTS)
THOUGHT = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."})
SIGNED = event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"})
LATER = event("something_new", of={"a": "later version"})
END = end({"output_tokens": 3, **CACHED}, "tool_use") + STOP
WHOLE = start() + PING + THOUGHT + SIGNED + TEXT + LATER + TOOL + END


def test_a_stream():
    made = Stream(5).feed(WHOLE)
    assert made.endswith(b"data: [DONE]\n\n")
    first, *said, finish, last = chunks(made)
    assert first["choices"] == []
    assert "completion_tokens" not in first["usage"]
    deltas = [chunk["choices"][0]["delta"] for chunk in said]
    assert deltas[0] == {"role": "assistant", "reasoning_content": "Hm."}
    assert [delta["content"] for delta in deltas if "content" in delta] == ["abc", "def"]
    begun, *more = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert (begun["index"], begun["id"], begun["function"]["name"]) == (0, "t", "rain")
    assert "".join(part["function"]["arguments"] for part in more) == '{"a":1}'
    assert finish["choices"][0]["finish_reason"] == "tool_calls"
    assert openai_usage(last["usage"]).meters == BY_LIFETIME


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20), st.booleans())
def test_pieces_make_no_difference(cuts, crlf):
    whole = WHOLE.replace(b"\n", b"\r\n") if crlf else WHOLE
    stream, places = Stream(5), [0, *sorted(cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(places)]
    assert b"".join(map(stream.feed, pieces)) == Stream(5).feed(WHOLE)
    assert stream.finish() == b""


def test_a_last_event_without_an_end():
    stream = Stream(5)
    assert not stream.feed(STOP.rstrip())
    assert stream.finish() == b"data: [DONE]\n\n"
    stream.feed(STOP[:30])
    assert stream.finish() == b""


def test_an_error_event():
    (found,) = chunks(Stream(5).feed(OVERLOADED))
    assert (found["error"]["code"], found["error"]["message"]) == ("overloaded_error", "Overloaded")


@pytest.mark.parametrize("bad", [b"data: {n\n\n", b'data: {"type":7}\n\n', b"data: \xff\n\n"])
def test_an_event_that_is_none(bad):
    (found,) = chunks(Stream(5).feed(bad))
    assert found["error"]["code"] == "upstream_invalid_response"


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_caller_sees_usage_whole_or_not_at_all(include_usage):
    weigher = StreamWeigher(include_usage=include_usage)
    seen = weigher.feed(Stream(5).feed(WHOLE))
    told = [chunk["usage"] for chunk in chunks(seen) if "usage" in chunk]
    assert [each["completion_tokens"] for each in told] == ([3] if include_usage else [])


def test_a_broken_stream_is_counted_beside_what_its_beginning_told():
    weigher = StreamWeigher(include_usage=True)
    weigher.feed(Stream(5).feed(start() + OPEN + text("abcdef")))
    reading = weigher.reading()
    assert openai_usage(reading.usage or {}).meters == {"input_tokens": 12}
    assert reading.produced is not None
    assert reading.produced.output == "abcdef"
