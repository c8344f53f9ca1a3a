"""Several keys of one upstream, through a gateway: in turn, at rest, all at rest."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import openai
import pytest

from tests.fixtures import upstreams
from tests.fixtures.gateway import Deployed, Gateway, start, stop, write_studio
from tests.fixtures.upstreams import Upstream

HELLO: Any = [{"role": "user", "content": "hello"}]
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "hello"},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@pytest.fixture
def upstream() -> Generator[Upstream]:
    scripts = {
        "good": upstreams.answer("200 OK", json.dumps(ANSWER).encode()),
        "busy": upstreams.answer("429 Too Many", b"{}", "retry-after: 60"),
        "locked": upstreams.answer("401 Who", b"{}"),
    }
    with upstreams.serving(scripts) as started:
        yield started


@pytest.fixture
def gateway(upstream, tmp_path) -> Generator[Gateway]:
    deployed = [Deployed(name, "openai", upstream.url(name)) for name in ("good", "busy", "locked")]
    write_studio(tmp_path, deployed)
    main = tmp_path / "steelyard.toml"
    two = 'keys_env = ["FIRST_KEY", "UPSTREAM_KEY"]'
    main.write_text(main.read_text().replace('key_env = "UPSTREAM_KEY"', two))
    started = start(tmp_path, {"FIRST_KEY": "sk-first"})
    try:
        yield started
    finally:
        stop(started)


def test_keys_in_turn_and_at_rest(gateway: Gateway, upstream: Upstream):
    with gateway.client() as client:
        for _ in range(4):
            client.chat.completions.create(model="good", messages=HELLO)
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="busy", messages=HELLO)
        while caught.value.status_code == 429:
            with pytest.raises(openai.APIStatusError) as caught:
                client.chat.completions.create(model="busy", messages=HELLO)
    sent = [asked.headers["authorization"] for asked in upstream.asked["good"]]
    assert sent == ["bearer sk-first", "bearer sk-of-the-upstream"] * 2
    assert len(upstream.asked["busy"]) == 2, "each key was tried once, and rests"
    assert caught.value.status_code == 503
    assert 50 < int(caught.value.response.headers["retry-after"]) <= 60


def test_a_key_that_is_refused_rests_and_its_caller_is_not_told_to_log_in(gateway, upstream):
    statuses: list[int] = []
    with gateway.client() as client:
        for _ in range(4):
            with pytest.raises(openai.APIStatusError) as caught:
                client.chat.completions.create(model="locked", messages=HELLO)
            statuses.append(caught.value.status_code)
    assert statuses == [502, 502, 503, 503]
    sent = [asked.headers["authorization"] for asked in upstream.asked["locked"]]
    assert sent == ["bearer sk-first", "bearer sk-of-the-upstream"]
