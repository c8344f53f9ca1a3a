"""The official client against a real worker: answers and errors as it expects them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.fixtures.gateway import OTHER_SECRET, Gateway

pytestmark = pytest.mark.xdist_group("gateway")

HELLO: Any = [{"role": "user", "content": "good morning to you"}]


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.client() as made:
        yield made


def test_chat(client, gateway: Gateway):
    raw = client.chat.completions.with_raw_response.create(model="echo-1", messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content == "good morning to you"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 4)
    record = gateway.record_of(raw.headers["x-request-id"])
    assert raw.headers["x-steelyard-call-id"] == raw.headers["x-request-id"]
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert record.outcome == "completed"
    assert record.status == 200
    assert (record.customer, record.contract, record.key_id) == ("acme", "acme-2026", "acme-key")
    assert record.meters["input_tokens"] == 4
    assert record.meters["output_tokens"] == 4
    assert record.meters["requests"] == 1
    assert record.meters["egress_bytes"] == len(raw.content)
    assert record.sources["input_tokens"] == "upstream"
    assert record.upstream_id == answer.id
    assert record.duration_us is not None


@pytest.mark.parametrize("include", [True, False, None])
def test_stream(client, gateway: Gateway, include):
    options = {} if include is None else {"stream_options": {"include_usage": include}}
    with client.chat.completions.with_streaming_response.create(
        model="echo-1", messages=HELLO, stream=True, **options
    ) as response:
        call_id = response.headers["x-request-id"]
        chunks = list(response.parse())
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "good morning to you"
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert [u.total_tokens for u in usages] == ([8] if include else [])
    assert bool(chunks[-1].choices) is not bool(include)
    record = gateway.record_of(call_id)
    assert record.streamed
    assert record.outcome == "completed"
    assert record.first_token_us is not None
    assert (record.meters["input_tokens"], record.meters["output_tokens"]) == (4, 4)
    assert record.sources["output_tokens"] == "upstream"


def test_unknown_parameters_reach_the_upstream(client):
    words = client.chat.completions.create(
        model="echo-1", messages=HELLO, extra_body={"echo": {"words": 7}, "surprise": 1.50}
    )
    assert words.usage.completion_tokens == 7


def test_embeddings(client, gateway: Gateway):
    raw = client.embeddings.with_raw_response.create(model="echo-1", input=["a b c", "d"])
    made = raw.parse()
    assert [each.index for each in made.data] == [0, 1]
    assert all(len(each.embedding) == 8 for each in made.data)
    record = gateway.record_of(raw.headers["x-request-id"])
    assert record.meters["input_tokens"] == 4
    assert "output_tokens" not in record.meters


def test_models(client, gateway: Gateway):
    assert [model.id for model in client.models.list()] == ["echo-1", "echo-2", "private-1"]
    assert client.models.retrieve("echo-1").owned_by == "Steelyard"
    with gateway.client(OTHER_SECRET) as other:
        assert [model.id for model in other.models.list()] == ["echo-1", "echo-2"]
        with pytest.raises(openai.NotFoundError):
            other.models.retrieve("private-1")


REFUSED = [
    # what is wrong, exception, status, code, param, what the message says
    (
        {"model": "no-such-model"},
        openai.NotFoundError,
        404,
        "model_not_found",
        "model",
        "no-such-model",
    ),
    ({"messages": []}, openai.BadRequestError, 400, "invalid_parameter", "messages", "messages"),
    ({"model": 7}, openai.BadRequestError, 400, "invalid_parameter", "model", "str"),
    ({"model": None}, openai.BadRequestError, 400, "invalid_parameter", "model", "str"),
    (
        {"stream_options": {"include_usage": 1}},
        openai.BadRequestError,
        400,
        "invalid_parameter",
        "stream_options",
        "stream_options",
    ),
    (
        {"messages": [{"role": "user", "content": "long " * 50_000}]},
        openai.APIStatusError,
        413,
        "request_too_large",
        None,
        "200000 bytes",
    ),
    (
        {"messages": [{"role": "user", "content": "long " * 5_000_000}]},
        openai.APIStatusError,
        413,
        "request_too_large",
        None,
        "200000 bytes",
    ),
]


@pytest.mark.parametrize(("change", "error", "status", "code", "param", "says"), REFUSED)
def test_refused(client, gateway, change, error, status, code, param, says):
    before = len(gateway.announcements())
    body = {"model": "echo-1", "messages": HELLO} | change
    with pytest.raises(error) as caught:
        client.post("/chat/completions", cast_to=object, body=body)
    assert caught.value.status_code == status
    assert caught.value.code == code
    assert caught.value.param == param
    assert says in caught.value.body["message"]
    assert len(gateway.announcements()) == before


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_parameter_is_named(client, missing):
    body = {"model": "echo-1", "messages": HELLO}
    del body[missing]
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, body=body)
    assert (caught.value.code, caught.value.param) == ("missing_parameter", missing)


@pytest.mark.parametrize("secret", ["sk-wrong", "sk-of-acm"])
def test_a_wrong_key(gateway: Gateway, secret):
    with gateway.client(secret) as stranger, pytest.raises(openai.AuthenticationError) as caught:
        stranger.chat.completions.create(model="echo-1", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
    with gateway.client(secret) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_model_of_others_is_not_there(gateway: Gateway):
    with gateway.client(OTHER_SECRET) as other, pytest.raises(openai.NotFoundError) as caught:
        other.chat.completions.create(model="private-1", messages=HELLO)
    with gateway.client(OTHER_SECRET) as other, pytest.raises(openai.NotFoundError) as unknown:
        other.chat.completions.create(model="private-2", messages=HELLO)
    assert caught.value.message.replace("private-1", "private-2") == unknown.value.message


def test_an_upstream_that_breaks_in_the_middle(client, gateway: Gateway):
    body = {"echo": {"words": 10, "break_after": 3}}
    with client.chat.completions.with_streaming_response.create(
        model="echo-1", messages=HELLO, stream=True, extra_body=body
    ) as response:
        call_id = response.headers["x-request-id"]
        got = []
        with pytest.raises(openai.APIError) as caught:
            got.extend(chunk.choices[0].delta.content for chunk in response.parse())
    assert caught.value.code == "upstream_broken"
    record = gateway.record_of(call_id)
    assert (record.outcome, record.error, record.status) == ("failed", "upstream_broken", 200)
    assert record.meters["output_tokens"] > 0
    assert record.sources["output_tokens"] == "estimated"
    assert "requests" not in record.meters
