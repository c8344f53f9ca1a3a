"""The real engine behind a real worker: what it reports is what is recorded, token for token."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from typing import Any

import openai
import pytest

from steelyard.metering.usage import openai_usage
from steelyard.upstream.engine import KEY_VARIABLE
from tests.fixtures.engine import Engine
from tests.fixtures.gateway import Deployed, Gateway, running, write_studio
from tests.fixtures.whole import run, up

pytestmark = pytest.mark.xdist_group("engine")

ASK: Any = {
    "model": "smollm2-135m-instruct",
    "messages": [{"role": "user", "content": "What is a steelyard? Answer in one sentence."}],
    "max_tokens": 24,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def gateway(engine: Engine, tmp_path_factory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("engine")
    (folder / "run").mkdir()
    (folder / "run" / "smollm.sock").symlink_to(engine.socket)
    deployed = [Deployed(engine.model, "engine", id="smollm")]
    with running(folder, deployed, engine_key=engine.key) as started:
        yield started


def reported(usage: Any) -> dict[str, int]:
    """The meters of what the client was told."""
    return openai_usage(usage.model_dump()).meters


def recorded(gateway: Gateway, call_id: str) -> dict[str, int]:
    """The token meters of a call's record, each told by the engine."""
    record = gateway.record_of(call_id)
    assert record.outcome == "completed"
    found = {name: units for name, units in record.meters.items() if name.endswith("_tokens")}
    assert {record.sources[name] for name in found} == {"upstream"}
    assert record.meters["compute_ms"] > 0
    return found


def test_chat(gateway: Gateway):
    call_id = ""
    with gateway.client() as client:
        for _ in range(2):  # the second time, the prompt is in the engine's cache
            raw = client.chat.completions.with_raw_response.create(**ASK)
            answer = raw.parse()
            assert answer.choices[0].message.content
            call_id = raw.headers["x-request-id"]
            assert recorded(gateway, call_id) == reported(answer.usage)
            assert gateway.record_of(call_id).sources["compute_ms"] == "upstream"
    assert recorded(gateway, call_id)["cached_input_tokens"] > 0


@pytest.mark.parametrize("include", [True, False])
def test_stream(gateway: Gateway, include):
    options: Any = {"stream": True, "stream_options": {"include_usage": include}}
    with (
        gateway.client() as client,
        client.chat.completions.with_streaming_response.create(**ASK, **options) as response,
    ):
        chunks: list[Any] = list(response.parse())
        call_id = response.headers["x-request-id"]
    told = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(told) == include
    meters = recorded(gateway, call_id)
    if include:
        assert meters == reported(told[0])
    pieces = [c.choices[0].delta.content for c in chunks if c.choices]
    assert 0 < sum(1 for piece in pieces if piece) <= meters["output_tokens"] <= 24
    assert gateway.record_of(call_id).sources["compute_ms"] == "upstream"


def test_a_prompt_that_is_too_long(gateway: Gateway):
    words = [{"role": "user", "content": "steelyard " * 2000}]
    with gateway.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ASK | {"messages": words})
    assert caught.value.code == "context_length_exceeded"
    record = gateway.record_of(caught.value.response.headers["x-request-id"])
    assert (record.outcome, record.error, record.meters) == ("failed", "upstream_error", {})


def test_embeddings(gateway: Gateway):
    with gateway.client() as client:
        raw = client.embeddings.with_raw_response.create(model=ASK["model"], input=["one", "two"])
    made = raw.parse()
    assert len(made.data) == 2
    assert len({len(each.embedding) for each in made.data}) == 1
    meters = recorded(gateway, raw.headers["x-request-id"])
    assert meters == {"input_tokens": made.usage.prompt_tokens}


def test_several_choices_are_refused_since_the_engine_tells_the_usage_of_one(gateway: Gateway):
    before = len(gateway.announcements())
    with gateway.client() as client, pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**ASK, n=2)
    assert (refused.value.code, refused.value.param) == ("invalid_parameter", "n")
    assert len(gateway.announcements()) == before


def test_an_engine_of_its_own_machine_serves_gateways_of_others(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    apart = f"\n[engine]\nport = {port}\nslots = 2\ncontext_tokens = 1024\n"
    deployed = [Deployed(ASK["model"], "engine", id="smollm")]
    machines = [write_studio(tmp_path / name, deployed, apart) for name in ("there", "here")]
    key = {KEY_VARIABLE: "a key of both machines"}
    with up(machines[0], "--role", "engine", env=key) as there:
        assert list(there.pids) == ["engine smollm"]
        assert not there.url
        with up(machines[1], "--role", "gateway", env=key) as here:
            assert list(here.pids) == ["gateway"]
            with here.client() as client:
                assert client.chat.completions.create(**ASK).choices[0].message.content
                os.kill(there.pids["engine smollm"], signal.SIGKILL)
                wait_until(lambda: answers(client))
        with (
            up(
                machines[1], "--role", "gateway", env={KEY_VARIABLE: "another key than that"}
            ) as here,
            here.client() as client,
            pytest.raises(openai.APIStatusError) as refused,
        ):
            client.chat.completions.create(**ASK)
        assert refused.value.code == "upstream_unauthorised"


def test_an_engine_apart_needs_a_key_that_others_have(tmp_path):
    folder = write_studio(tmp_path, [Deployed(ASK["model"], "engine", id="smollm")])
    ran = run(folder, "up", "--role", "engine", env={KEY_VARIABLE: ""})
    assert ran.returncode == 1
    assert KEY_VARIABLE in ran.stderr


def answers(client: openai.OpenAI) -> bool:
    try:
        return bool(client.chat.completions.create(**ASK).choices)
    except openai.APIError:
        return False


def wait_until(what: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until_s
        time.sleep(0.2)
