"""Whole answers: what each says, and what is no answer."""

from __future__ import annotations

import pytest

from steelyard.metering.answers import Texts, read_body

LLAMA = (
    b'{"choices":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":'
    b'"Alejandro, a wise and"}}],"created":1795503785,"model":"smollm2-135m-instruct",'
    b'"system_fingerprint":"b0-unknown","object":"chat.completion","usage":{"completion_tokens":8,'
    b'"prompt_tokens":36,"total_tokens":44,"prompt_tokens_details":{"cached_tokens":35}},'
    b'"id":"chatcmpl-8vns","timings":{"cache_n":35,"prompt_n":1,"prompt_ms":6.601}}'
)
EMBEDDING = (
    b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2.5]}],'
    b'"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}'
)
MINIMAX_REFUSES = (
    b'{"id":"04ec","choices":null,"created":1795478405,"model":"MiniMax-M2","object":"",'
    b'"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}'
)


def test_a_whole_answer_tells_its_usage():
    reading = read_body(LLAMA)
    assert reading.usage == {
        "completion_tokens": 8,
        "prompt_tokens": 36,
        "total_tokens": 44,
        "prompt_tokens_details": {"cached_tokens": 35},
    }
    assert (reading.finished, reading.done, reading.chunks) == (True, False, 1)
    assert reading.upstream_id == "chatcmpl-8vns"
    assert reading.produced is None
    assert reading.error is None


def test_an_embedding_is_an_answer():
    reading = read_body(EMBEDDING)
    assert reading.usage == {"prompt_tokens": 8, "total_tokens": 8}
    assert reading.finished
    assert reading.upstream_id is None


TEXTS = [
    (b'{"choices":[{"message":{"role":"assistant","content":"Hi"}}]}', Texts("Hi")),
    (b'{"usage":null,"choices":[{"message":{"content":"\\u4f60\\n"}}]}', Texts("你\n")),
    (b'{"choices":[{"message":{"content":"a","reasoning_content":"b"}}]}', Texts("a", "b")),
    (b'{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}', Texts("ab")),
    (b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":"{}"}}]}}]}', Texts("{}")),
    (b'{"choices":[{"text":"once"}]}', Texts("once")),
    (EMBEDDING.replace(b"usage", b"other"), Texts("")),
]


@pytest.mark.parametrize(("body", "texts"), TEXTS)
def test_the_text_is_there_when_usage_is_not(body, texts):
    reading = read_body(body)
    assert reading.usage is None
    assert reading.finished
    assert reading.produced == texts


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"{}", b'{"choices":[]}', b"<html>", b'{"choices":[{', b"[" * 100_000]
)
def test_200_without_an_answer_is_none(body):
    reading = read_body(body)
    assert (reading.finished, reading.usage, reading.chunks) == (False, None, 0)


def test_200_with_an_error_is_an_error():
    assert read_body(MINIMAX_REFUSES).error == MINIMAX_REFUSES
    assert read_body(b'{"error":{"message":"no"}}').error == b'{"error":{"message":"no"}}'
    assert not read_body(MINIMAX_REFUSES).finished
    assert read_body(LLAMA[:-1] + b',"error":null}').error is None
