"""Budgets over real sockets, as OpenAI's official client sees them."""

from __future__ import annotations

import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from steelyard import app
from steelyard.studio import StudioFaults
from steelyard.upstream.engine import packaged_weights
from tests.fixtures import gguf
from tests.fixtures.gateway import Deployed, Gateway, start, stop, write_studio

pytestmark = pytest.mark.xdist_group("budgets")

HELLO: Any = [{"role": "user", "content": "good morning to you"}]
BUDGETS = """
[[budget]]
id = "total"
of = "model"
models = ["total"]
amount = "0.0008"
currency = "USD"
per = "total"

[[budget]]
id = "month"
of = ["customer", "model"]
models = ["month"]
amount = "0.0008"
currency = "USD"
per = "month"
zone = "Asia/Shanghai"

[[budget]]
id = "stream"
of = "key"
models = ["stream"]
amount = "0.0052"
currency = "USD"
per = "day"

[[budget]]
id = "shared"
of = "key"
models = ["shared"]
amount = "0.0060"
currency = "USD"
per = "day"

[[budget]]
id = "elsewhere"
of = "customer"
amount = "0.000001"
currency = "CNY"
per = "total"
"""
"""A call's prompt is held at 512 tokens and a token a byte; an answer's token costs 0.000002."""


def studio(folder, more=BUDGETS):
    models = [Deployed(name) for name in ("total", "month", "stream", "shared", "free")]
    write_studio(folder, models, "queue_s = 3")
    path = folder / "steelyard.toml"
    path.write_text(path.read_text("utf-8") + more, "utf-8")
    return folder


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    started = start(studio(tmp_path_factory.mktemp("budgets")))
    try:
        yield started
    finally:
        stop(started)


@pytest.fixture
def client(gateway):
    with gateway.client() as made:
        yield made


def said(client, model, **more):
    made = client.chat.completions.with_raw_response
    return made.create(model=model, messages=HELLO, **more)


def used_up(client, model, **more) -> openai.APIStatusError:
    """Call until it is refused."""
    for _ in range(50):
        try:
            said(client, model, **more)
        except openai.APIStatusError as exc:
            return exc
    pytest.fail("it is never used up")


def test_what_no_window_brings_back_is_403(client, gateway):
    refused = used_up(client, "total", max_tokens=20)
    assert (refused.status_code, refused.code) == (403, "cover_used_up")
    assert "retry-after" not in refused.response.headers
    assert 8 * 10**8 - 7 * 10**8 < spent_pico(gateway, "total") <= 8 * 10**8


def test_a_window_that_ends_is_429_until_then(client, gateway):
    refused = used_up(client, "month", max_tokens=20)
    assert (refused.status_code, refused.code) == (429, "insufficient_quota")
    assert 0 < int(refused.response.headers["retry-after"]) <= 31 * 86_400
    assert "'month'" in refused.message
    assert spent_pico(gateway, "month") <= 8 * 10**8


def spent_pico(gateway, model) -> int:
    """At 1 and 2 a million."""
    meters = [each.meters for each in gateway.records() if each.model == model]
    tokens = (each.get("input_tokens", 0) + 2 * each.get("output_tokens", 0) for each in meters)
    return sum(tokens) * 10**6


def test_an_answer_is_cut_down_to_its_cover_and_says_so_unless_its_caller_forbids(tmp_path):
    more = BUDGETS.replace('amount = "0.0008"', 'amount = "0.00075"')
    started = start(studio(tmp_path, more))
    try:
        with started.client() as client:
            never = {"x-steelyard-clamp": "never"}
            with pytest.raises(openai.PermissionDeniedError):
                said(client, "total", max_tokens=400, extra_headers=never)
            with pytest.raises(openai.BadRequestError):
                said(client, "total", extra_headers={"x-steelyard-clamp": "perhaps"})
            answer = said(client, "total", max_tokens=400)
            tokens = int(answer.headers["x-steelyard-max-tokens"])
            assert 1 < tokens < 100
            assert answer.parse().usage.completion_tokens == tokens
            assert "x-steelyard-max-tokens" not in said(client, "free", max_tokens=400).headers
    finally:
        stop(started)


def test_a_stream_ends_where_its_cover_ends(client, gateway):
    stream = client.chat.completions.create(
        model="stream",
        messages=HELLO,
        stream=True,
        max_tokens=3000,
        stream_options={"include_usage": True},
        extra_body={"echo": {"words": 3000, "delay_ms": 1}},
    )
    chunks = list(stream)
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-2].model_extra["steelyard"]["code"] == "cover_used_up"
    assert chunks[-1].usage.completion_tokens < 600
    (record,) = [each for each in gateway.records() if each.model == "stream"]
    assert (record.outcome, record.error) == ("completed", "cover_used_up")
    assert spent_pico(gateway, "stream") <= 52 * 10**8
    assert record.produced["output_tokens"] >= record.meters["output_tokens"] > 100


def test_what_an_upstream_makes_beyond_the_limit_is_not_charged(client, gateway):
    said(client, "shared", max_tokens=10, extra_body={"echo": {"words": 500}})
    (record,) = [each for each in gateway.records() if each.model == "shared"]
    assert (record.meters["output_tokens"], record.produced["output_tokens"]) == (10, 500)


def test_workers_share_a_budget_and_the_dead_one_s_hold_comes_back(tmp_path):
    """Of two workers one is killed while it holds; what it spent stays spent, the rest is used."""
    folder = studio(tmp_path)
    first, second = start(folder), start(folder)
    try:
        with first.client() as a, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: said(a, "shared", max_tokens=10), range(20)))
            slow = {"echo": {"words": 10, "delay_ms": 1000}}
            pool.submit(lambda: said(a, "shared", max_tokens=1000, extra_body=slow))
            while len(first.announcements()) < 21:
                pass
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        third = start(folder)
        try:
            with second.client() as b, third.client() as c, ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda n: outcome((b, c)[n % 2]), range(300)))
        finally:
            stop(third)
    finally:
        stop(second)
        with first.process:
            pass
    assert set(found) == {"", "insufficient_quota"}
    assert 60 * 10**8 - 8 * 10**8 < spent_pico(second, "shared") <= 60 * 10**8


def outcome(client) -> str:
    try:
        said(client, "shared", max_tokens=10)
    except openai.APIStatusError as exc:
        return str(exc.code)
    return ""


def test_a_prompt_that_seems_too_long_is_counted_where_its_tokenizer_is_known(tmp_path):
    """Of 4,500 bytes, which would be held as so many tokens, a thousand tokens are left."""
    folder = studio(tmp_path, BUDGETS.replace('amount = "0.0008"', 'amount = "0.0020"'))
    gguf.tokenizer(packaged_weights()).save(str(folder / "tokenizer.json"))
    path = folder / "steelyard.toml"
    text = path.read_text("utf-8")
    named = 'id = "total"\nfamily = "Test"\ntokenizer = "tokenizer.json"'
    path.write_text(text.replace('id = "total"\nfamily = "Test"', named), "utf-8")
    said_of = {"total": "", "month": ""}
    started = start(folder)
    try:
        with started.client() as client:
            for model in said_of:
                try:
                    client.chat.completions.create(
                        model=model,
                        messages=[{"role": "user", "content": "The quick brown fox. " * 220}],
                        max_tokens=20,
                        extra_headers={"x-steelyard-clamp": "never"},
                    )
                except openai.APIStatusError as exc:
                    said_of[model] = str(exc.code)
    finally:
        stop(started)
    assert said_of == {"total": "", "month": "insufficient_quota"}


def test_a_tokenizer_that_can_t_be_read_is_found_before_anything_is_served(tmp_path):
    folder = studio(tmp_path)
    path = folder / "steelyard.toml"
    text = path.read_text("utf-8")
    named = 'id = "total"\nfamily = "Test"\ntokenizer = "none.json"'
    path.write_text(text.replace('id = "total"\nfamily = "Test"', named), "utf-8")
    with pytest.raises(StudioFaults, match=r"none\.json is no tokenizer's file"):
        app.load_studio(folder, serving=True)
