"""A real gateway, watched: scraped, logged, and traced through to its upstream."""

from __future__ import annotations

import http.client
import time
from collections.abc import Generator, Mapping
from typing import Any

import msgspec
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from steelyard.edge.telemetry.families import FAMILIES
from tests.fixtures import upstreams
from tests.fixtures.collector import Collector, collecting
from tests.fixtures.gateway import (
    OTHER_SECRET,
    SECRET,
    UPSTREAM_SECRET,
    Deployed,
    Gateway,
    running,
    start,
    stop,
    write_studio,
)
from tests.fixtures.upstreams import Upstream

pytestmark = pytest.mark.xdist_group("telemetry")

PROMPT = "a prompt that nobody else may see"
HELLO: Any = [{"role": "user", "content": PROMPT}]
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
ANSWER = (
    b'{"id":"up-1","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant",'
    b'"content":"yes"}}],"usage":{"prompt_tokens":7,"completion_tokens":3}}'
)
SCRIPTS = {
    "upstream-1": upstreams.answer("200 OK", ANSWER),
    "broken-1": upstreams.answer("500 Oh no", b"{}"),
    "failing-1": upstreams.answer("500 Oh no", b"{}"),
}


@pytest.fixture(scope="module")
def collector() -> Generator[Collector]:
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def upstream() -> Generator[Upstream]:
    with upstreams.serving(SCRIPTS) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(upstream, collector, tmp_path_factory) -> Generator[Gateway]:
    """A gateway that has answered, refused, failed and streamed."""
    folder = tmp_path_factory.mktemp("watched")
    deployed = [Deployed(name, "openai", upstream.url(name), "large") for name in SCRIPTS]
    settings = (
        f"\n[telemetry]\naccess_log = 'access.log'\notlp_endpoint = '{collector.url}'\n"
        "otlp_interval_s = 1\nmetrics_customers_max = 1"
    )
    with running(folder, deployed, settings) as started:
        _call(started)
        yield started


def _call(gateway: Gateway) -> None:
    with gateway.client() as client:
        create = client.chat.completions.create
        create(model="upstream-1", messages=HELLO, extra_headers={"traceparent": SENT})
        with pytest.raises(openai.InternalServerError):
            create(model="broken-1", messages=HELLO)
        for _ in create(model="echo-1", messages=HELLO, stream=True):
            pass
    with gateway.client(OTHER_SECRET) as client:
        client.chat.completions.create(model="echo-1", messages=HELLO)
    with gateway.client("sk-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    with gateway.client("sk-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="echo-1", messages=HELLO)


def get(
    gateway: Gateway, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*gateway.address, timeout=10)
    try:
        connection.request(method, "/metrics", headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def scraped(gateway: Gateway) -> dict[tuple[str, frozenset[str]], float]:
    status, text = get(gateway)
    assert status == 200
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_has_what_happened(gateway):
    found = scraped(gateway)
    calls = "steelyard_calls_total"
    own = {"1", "acme", "completed", ""}
    assert found[calls, frozenset({"upstream-1", *own})] == 1
    assert found[calls, frozenset({"echo-1", *own})] == 1
    assert found[calls, frozenset({"echo-1", "1", "other", "completed", ""})] == 1
    failed = frozenset({"broken-1", "1", "acme", "failed", "upstream_error"})
    assert found[calls, failed] == 1
    refusals = "steelyard_refusals_total"
    assert found[refusals, frozenset({"1", "invalid_api_key", ""})] == 1
    tokens = frozenset({"upstream-1", "1", "acme", "output_tokens"})
    assert found["steelyard_tokens_total", tokens] == 3
    assert found["steelyard_calls_in_flight", frozenset({"1"})] == 0
    assert found["steelyard_journal_bytes_total", frozenset({"1"})] > 500
    assert found["steelyard_memory_bytes", frozenset({"1"})] > 10 << 20
    first = "steelyard_time_to_first_token_seconds_count"
    assert found[first, frozenset({"1", "echo-1", "acme"})] == 1


def test_a_breaker_that_opens_is_seen(gateway):
    state = ("steelyard_breaker_state", frozenset({"1", "failing-1"}))
    with gateway.client() as client:
        for _ in range(20):
            with pytest.raises(openai.APIStatusError):
                client.chat.completions.create(model="failing-1", messages=HELLO)
            if scraped(gateway)[state] == 2:
                break
    assert scraped(gateway)[state] == 2
    assert scraped(gateway)["steelyard_breaker_state", frozenset({"1", "upstream-1"})] == 0


def test_every_metric_that_is_shown_is_documented(gateway):
    _, text = get(gateway)
    assert {line.split()[2] for line in text.splitlines() if line[:1] == "#"} <= set(FAMILIES)


def test_metrics_are_only_read(gateway):
    assert get(gateway, method="POST")[0] == 405


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via"])
def test_whoever_comes_through_a_proxy_is_not_near(gateway, header):
    assert get(gateway, {header: "127.0.0.1"})[0] == 404


def test_the_log_has_a_line_for_each_call(gateway):
    path = gateway.folder / "access.log"
    deadline = time.monotonic() + 5
    while path.read_bytes().count(b"\n") < 5:
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)
    text = path.read_text()
    lines = [msgspec.json.decode(line) for line in text.splitlines()[:5]]
    ends = [(line.get("model"), line["outcome"], line.get("code")) for line in lines]
    assert ends == [
        ("upstream-1", "completed", None),
        ("broken-1", "failed", "upstream_error"),
        ("echo-1", "completed", None),
        ("echo-1", "completed", None),
        (None, "refused", "invalid_api_key"),
    ]
    assert lines[0]["trace_id"] == TRACE_ID
    for line in lines[:4]:
        assert gateway.record_of(line["call_id"]).customer == line["customer"]
    for secret in (SECRET, OTHER_SECRET, UPSTREAM_SECRET, PROMPT, "sk-wrong"):
        assert secret not in text


def test_a_trace_goes_through_to_the_upstream(gateway, upstream, collector):
    collector.until(lambda: len(collector.spans) >= 9)
    mine = [each for each in collector.spans if each.trace_id == TRACE_ID]
    call, attempt = sorted(mine, key=lambda span: span.kind)
    assert call.parent == SENT.split("-")[2]
    assert attempt.parent == call.span_id
    (asked,) = upstream.asked["upstream-1"]
    assert asked.headers["traceparent"] == f"00-{TRACE_ID}-{attempt.span_id}-01"
    assert call.attributes["gen_ai.usage.output_tokens"] == 3
    collector.until(lambda: "gen_ai.client.token.usage" in collector.points)
    assert not [body for body in collector.bodies if PROMPT.encode() in body]


def test_workers_of_one_port_tell_of_each_other(tmp_path):
    folder = write_studio(tmp_path, [], "workers = 2")
    first = start(folder, arguments=("--number", "1"))
    second = start(folder, port=first.address[1], arguments=("--number", "2"))
    try:
        deadline = time.monotonic() + 10
        while True:
            found = scraped(first)
            seen = [n for n in "12" if ("steelyard_calls_in_flight", frozenset({n})) in found]
            if seen == ["1", "2"]:
                break
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
    finally:
        stop(first)
        stop(second)
    assert list((folder / "run" / "metrics").iterdir()) == []


def test_metrics_that_are_off_are_not_there(tmp_path):
    with running(tmp_path, [], "\n[telemetry]\nmetrics = 'off'") as started:
        assert get(started)[0] == 404


def test_a_log_that_can_not_be_written_is_said_at_once(tmp_path, capfd):
    write_studio(tmp_path, [], "\n[telemetry]\naccess_log = '.'")
    with pytest.raises(pytest.fail.Exception):
        start(tmp_path)
    assert "the access log can't be written" in capfd.readouterr().err
