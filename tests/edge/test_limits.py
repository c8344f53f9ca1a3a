"""Limits over real sockets, as OpenAI's official client sees them."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from tests.fixtures.gateway import OTHER_SECRET, Deployed, Gateway, start, stop, write_studio

pytestmark = pytest.mark.xdist_group("limits")

HELLO: Any = [{"role": "user", "content": "good morning to you"}]
SLOW = {"echo": {"words": 20, "delay_ms": 20}}
"""An answer of 20 words in 0.4 s."""

MINUTE = """
[[limit]]
id = "minute"
of = "key"
models = ["echo-1"]
tokens_per_minute = 100
"""
OTHERS = """
[[limit]]
id = "requests"
of = "key"
models = ["requests"]
requests_per_minute = 2
requests_per_day = 1000

[[limit]]
id = "day"
of = "customer"
models = ["day"]
requests_per_day = 1
zone = "Asia/Shanghai"

[[limit]]
id = "once"
of = "model"
models = ["once"]
concurrency = 1

[[limit]]
id = "ample"
of = "key"
models = ["ample"]
requests_per_minute = 1000
tokens_per_minute = 100_000
"""


@contextmanager
def limited(folder, deployed: Sequence[Deployed], more: str, gateway="") -> Generator[Gateway]:
    write_studio(folder, deployed, gateway)
    path = folder / "steelyard.toml"
    path.write_text(path.read_text("utf-8") + more, "utf-8")
    started = start(folder)
    try:
        yield started
    finally:
        stop(started)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    models = [Deployed(name) for name in ("requests", "day", "once", "ample")]
    with limited(tmp_path_factory.mktemp("limited"), models, MINUTE + OTHERS) as started:
        yield started


@pytest.fixture
def client(gateway):
    with gateway.client() as made:
        yield made


def said(client, model, **more):
    """An answer as it came, its headers included."""
    made = client.chat.completions.with_raw_response
    return made.create(model=model, messages=HELLO, **more)


@pytest.mark.parametrize("most", [{"max_tokens": 10}, {}])
def test_five_at_once_spend_no_more_than_a_minute_has(tmp_path, most):
    with limited(tmp_path, [], MINUTE) as gateway, gateway.client() as client:

        def call(_: int) -> int:
            try:
                made = client.chat.completions.create(
                    model="echo-1",
                    messages=HELLO,
                    extra_body={"echo": {"words": 10, "delay_ms": 20}},
                    **most,
                )
            except openai.RateLimitError:
                return 0
            return made.usage.total_tokens

        with ThreadPoolExecutor(5) as threads:
            spent = list(threads.map(call, range(5)))
        assert 0 < sum(spent) <= 100
        assert 0 in spent
        charged = [each.meters for each in gateway.records()]
        assert sum(each["input_tokens"] + each["output_tokens"] for each in charged) == sum(spent)


def test_what_is_left_is_told_with_every_answer(client):
    first, second = said(client, "ample"), said(client, "ample")
    assert first.headers["x-ratelimit-limit-requests"] == "1000"
    assert first.headers["x-ratelimit-remaining-requests"] == "999"
    assert second.headers["x-ratelimit-remaining-requests"] == "998"
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    left = int(first.headers["x-ratelimit-remaining-tokens"])
    assert 98_000 < left < 100_000
    # Of the first answer's hold all but its eight tokens is back.
    assert int(second.headers["x-ratelimit-remaining-tokens"]) == left - 8
    assert first.headers["x-ratelimit-reset-tokens"].startswith("1m")
    with client.chat.completions.with_streaming_response.create(
        model="ample", messages=HELLO, stream=True
    ) as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "997"
        assert len(list(response.parse())) > 4


def test_a_minute_s_requests_are_used(client):
    for _ in range(2):
        assert said(client, "requests").headers["x-ratelimit-limit-requests"] == "2"
    with pytest.raises(openai.RateLimitError) as caught:
        said(client, "requests")
    error, headers = caught.value, caught.value.response.headers
    assert (error.status_code, error.code, error.type) == (429, "rate_limit_exceeded", "requests")
    assert 55 <= int(headers["retry-after"]) <= 61
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in headers
    with client.with_options(api_key=OTHER_SECRET) as other, pytest.raises(openai.NotFoundError):
        said(other, "requests")


def test_a_day_s_requests_are_used(client):
    said(client, "day")
    with pytest.raises(openai.RateLimitError) as caught:
        said(client, "day")
    error, headers = caught.value, caught.value.response.headers
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    midnight_s = 86_400 - (time.time() + 8 * 3600) % 86_400
    assert abs(int(headers["retry-after"]) - midnight_s) < 10


def test_a_call_that_is_larger_than_its_limit_need_not_come_again(client):
    patient = client.with_options(max_retries=5)
    began = time.monotonic()
    with pytest.raises(openai.RateLimitError) as caught:
        patient.chat.completions.create(model="echo-1", messages=HELLO, max_tokens=200)
    assert time.monotonic() - began < 1
    assert "larger" in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_one_at_once_and_the_client_comes_again(client):
    """The client waits for as long as it is told, and its call is answered then."""
    begun = threading.Event()

    def stream() -> int:
        chunks = client.chat.completions.create(
            model="once", messages=HELLO, stream=True, extra_body=SLOW
        )
        return sum(1 for chunk in chunks if begun.set() is None and chunk.choices)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(stream)
        assert begun.wait(10)
        with pytest.raises(openai.RateLimitError) as caught:
            said(client, "once")
        assert caught.value.response.headers["retry-after"] == "1"
        made = client.with_options(max_retries=2).chat.completions.create(
            model="once", messages=HELLO
        )
        assert made.usage.total_tokens == 8
        assert running.result() == 21


def test_refused_calls_leave_no_record(client, gateway: Gateway):
    before = len(gateway.announcements())
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="echo-1", messages=HELLO, max_tokens=200)
    assert len(gateway.announcements()) == before
