"""Calls answered from the cache: what the official client gets, who may get it, and the invoice."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any, NamedTuple

import openai
import pytest
from click.testing import CliRunner
from openai import OpenAI

from steelyard.cli.main import cli
from steelyard.values import periods
from steelyard.values.usage import UsageRecord
from tests.edge.answers import LAST, STOP, TEXT, whole
from tests.fixtures import upstreams
from tests.fixtures.gateway import (
    OTHER_SECRET,
    SECRET,
    Deployed,
    Gateway,
    running,
    start,
    stop,
    write_studio,
)
from tests.fixtures.upstreams import Upstream, answer, raw, stream

pytestmark = pytest.mark.xdist_group("cache")

CACHES = """
[[cache]]
models = ["echo-cached-*"]

[[cache]]
models = ["echo-brief"]
ttl_s = 1
"""
CONTRACT = """
id = "{customer}-2026"
customer = "{customer}"
currency = "USD"
valid_from = 2026-01-01

[[price]]
model = "echo-*"
per_million = {{ input = "1", output = "2" }}
per_unit = {{ {priced} }}
"""
PRICED = {"acme": 'cache_hits = "0.0001", requests = "0.01"', "globex": 'requests = "0.01"'}

EVENTS = [*TEXT, STOP, LAST, "[DONE]"]
SCRIPTS = {
    "echo-cached-plain": answer("200 OK", whole()),
    "echo-cached-stream": raw(stream(*EVENTS)),
    "echo-cached-broken": raw(stream(*TEXT)),
    "echo-brief": answer("200 OK", whole()),
    "private": answer("200 OK", whole()),
}
PLAIN, STREAM = "echo-cached-plain", "echo-cached-stream"


@pytest.fixture(scope="module")
def upstream() -> Generator[Upstream]:
    with upstreams.serving(SCRIPTS) as started:
        yield started


def deployed(upstream: Upstream) -> list[Deployed]:
    return [Deployed(name, "openai", upstream.url(name)) for name in SCRIPTS]


@pytest.fixture(scope="module")
def gateway(upstream, tmp_path_factory) -> Generator[Gateway]:
    with running(tmp_path_factory.mktemp("cache"), deployed(upstream), CACHES) as started:
        yield started


@pytest.fixture
def client(gateway) -> Generator[OpenAI]:
    with gateway.client() as made:
        yield made


class Seen(NamedTuple):
    """What came, and whether it was kept before."""

    text: str
    usages: list[int]
    hit: bool
    call_id: str


def call(client: OpenAI, model: str, prompt: str, wish: str = "", **more: Any) -> Seen:
    messages: Any = [{"role": "user", "content": prompt}]
    headers = {"x-steelyard-cache": wish} if wish else {}
    create = client.chat.completions.with_streaming_response.create
    given: Any = {"model": model, "messages": messages, "extra_headers": headers, **more}
    with create(**given) as response:
        parsed: Any = response.parse()
        if given.get("stream"):
            chunks = list(parsed)
            text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
            usages = [each.usage.total_tokens for each in chunks if each.usage]
        else:
            text, usages = parsed.choices[0].message.content, [parsed.usage.total_tokens]
        seen = response.headers
        return Seen(text, usages, seen.get("x-steelyard-cache") == "hit", seen["x-request-id"])


def asked(upstream: Upstream, model: str) -> int:
    return len(upstream.asked.get(model, ()))


def counted(record: UsageRecord) -> dict[str, int]:
    measured = {"ingress_bytes", "egress_bytes", "compute_ms"}
    return {name: units for name, units in record.meters.items() if name not in measured}


def test_an_equal_request_is_answered_from_the_cache(client, gateway: Gateway, upstream):
    first, second = (call(client, PLAIN, "a", seed=1) for _ in range(2))
    assert (first.hit, second.hit) == (False, True)
    assert (second.text, second.usages) == (first.text, first.usages) == ("abcdef", [15])
    assert asked(upstream, PLAIN) == 1
    original, record = (gateway.record_of(seen.call_id) for seen in (first, second))
    assert counted(original) == {"input_tokens": 12, "output_tokens": 3, "requests": 1}
    assert counted(record) == {"cache_hits": 1}
    assert set(record.meters) == {"cache_hits", "ingress_bytes", "egress_bytes"}
    assert record.meters["egress_bytes"] == original.meters["egress_bytes"]
    assert set(record.sources.values()) == {"measured"}
    assert (record.outcome, record.status, record.attempts) == ("completed", 200, 0)
    assert (record.deployment, record.upstream_id) == (original.deployment, original.upstream_id)
    announced = [each.call_id for each in gateway.announcements()]
    assert original.call_id in announced
    assert record.call_id not in announced


def test_another_request_is_not(client):
    call(client, PLAIN, "b")
    assert not call(client, PLAIN, "b", temperature=0.5).hit
    assert not call(client, PLAIN, "b", store=True).hit
    assert not call(client, PLAIN, "b", store=True).hit
    assert call(client, PLAIN, "b", user="someone").hit


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_is_replayed_as_a_stream(client, gateway: Gateway, upstream, usage):
    """Whoever asked first, usage comes to those who ask for it."""
    before = asked(upstream, STREAM)
    prompt = f"usage {usage}"
    first = call(client, STREAM, prompt, stream=True, stream_options={"include_usage": usage})
    second = call(client, STREAM, prompt, stream=True, stream_options={"include_usage": not usage})
    third = call(client, STREAM, prompt, stream=True)
    assert [each.hit for each in (first, second, third)] == [False, True, True]
    assert {each.text for each in (first, second, third)} == {"abcdef"}
    assert [bool(each.usages) for each in (first, second, third)] == [usage, not usage, False]
    assert asked(upstream, STREAM) == before + 1
    assert counted(gateway.record_of(third.call_id)) == {"cache_hits": 1}
    assert gateway.record_of(third.call_id).streamed


def test_a_replayed_stream_has_its_events_as_they_came(client):
    create = client.chat.completions.with_streaming_response.create
    ask: Any = {"messages": [{"role": "user", "content": "bytes"}], "stream": True}
    for _ in range(2):
        options = {"include_usage": True}
        with create(model=STREAM, stream_options=options, **ask) as response:
            assert response.read() == b"".join(f"data: {each}\n\n".encode() for each in EVENTS)
            assert response.headers["content-type"].startswith("text/event-stream")


def test_a_stream_and_a_plain_answer_are_two(client):
    call(client, PLAIN, "both")
    with pytest.raises(openai.InternalServerError, match="not understood"):
        call(client, PLAIN, "both", stream=True)


def test_what_broke_is_not_kept(client, upstream):
    for _ in range(2):
        with pytest.raises(openai.APIError, match="broke off"):
            call(client, "echo-cached-broken", "a", stream=True)
    assert asked(upstream, "echo-cached-broken") == 2


def test_no_customer_gets_what_another_asked(gateway: Gateway, client):
    call(client, PLAIN, "between us")
    with gateway.client(OTHER_SECRET) as other:
        assert not call(other, PLAIN, "between us").hit
        assert call(other, PLAIN, "between us").hit


def test_only_what_a_rule_names_is_cached(client):
    assert [call(client, "private", "a").hit for _ in range(2)] == [False, False]


def test_a_caller_may_wish_for_a_new_answer(client):
    hits = [
        call(client, PLAIN, "wish", wish).hit for wish in ("no-store", "no-cache", "", "no-store")
    ]
    assert hits == [False, False, True, False]


def test_a_wish_that_is_not_understood_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="no-cache") as caught:
        call(client, PLAIN, "wish", "always")
    assert caught.value.code == "invalid_parameter"


def test_an_answer_is_given_again_as_long_as_the_rule_says(client):
    assert [call(client, "echo-brief", "a").hit for _ in range(2)] == [False, True]
    time.sleep(1.1)
    assert [call(client, "echo-brief", "a").hit for _ in range(2)] == [False, True]


def steelyard(gateway: Gateway, *arguments: str) -> str:
    env = {"ACME_KEY": SECRET, "GLOBEX_KEY": OTHER_SECRET, "UPSTREAM_KEY": "x"}
    found = CliRunner().invoke(cli, ["--studio", str(gateway.folder), *arguments], env=env)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_a_hit_is_on_the_invoice_at_what_the_contract_says(upstream, tmp_path):
    """Three calls of each customer: one is made, two are hits, which one contract prices."""
    write_studio(tmp_path, deployed(upstream), CACHES)
    for customer, priced in PRICED.items():
        text = CONTRACT.format(customer=customer, priced=priced)
        (tmp_path / "contracts" / f"{customer}.toml").write_text(text, "utf-8")
    gateway = start(tmp_path)
    for secret in (SECRET, OTHER_SECRET):
        with gateway.client(secret) as client:
            assert [call(client, PLAIN, "invoice").hit for _ in range(3)] == [False, True, True]
    assert stop(gateway) == 0
    month = periods.from_us(gateway.records()[0].at_us).strftime("%Y-%m")
    closed = json.loads(steelyard(gateway, "close", month, "--early", "--json"))
    totals = {each["party"]: each for each in closed["documents"] if each["kind"] == "invoice"}
    lines = {
        customer: {
            line["meter"]: (line["units"], line["amount"])
            for line in json.loads(invoice_of(gateway, totals[customer]["number"]))["lines"]
        }
        for customer in totals
    }
    made = {"input_tokens": (12, "0.000012"), "output_tokens": (3, "0.000006")}
    made["requests"] = (1, "0.01")
    assert lines == {"acme": made | {"cache_hits": (2, "0.0002")}, "globex": made}
    steelyard(gateway, "audit")


def invoice_of(gateway: Gateway, number: str) -> str:
    (path,) = gateway.folder.glob(f"documents/*/invoices/{number}.json")
    return path.read_text("utf-8")
