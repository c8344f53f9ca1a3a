"""Several deployments of a model behind a real worker: who answers, what is told and paid."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from steelyard.values import ids
from steelyard.values.usage import UsageRecord
from tests.edge.faults import LAST, STOP, TEXT, whole
from tests.fixtures.gateway import SECRET, Gateway, start, stop, write_studio
from tests.fixtures.upstreams import Upstream, answer, raw, raw_then_reset, serving, silence, stream

HELLO: Any = [{"role": "user", "content": "good morning"}]

SCRIPTS = {
    "down": answer("503 Service Unavailable", b"{}"),
    "reset": raw_then_reset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
    "silent": silence,
    "silent-too": silence,
    "good": answer("200 OK", whole()),
    "shadow": answer("200 OK", whole()),
    "streaming": raw(stream(*TEXT, STOP, LAST, "[DONE]")),
}

MODEL = """
[[model]]
id = "{model}"
family = "Test"
developer = "Steelyard"
licence = "Apache-2.0"
source = "https://example.org"
checked = 2026-11-24

[[route]]
model = "{model}"
deployments = [{deployments}]
{more}
"""
DEPLOYMENT = """
[[deployment]]
id = "{model}-{name}"
model = "{model}"
kind = "openai"
provider = "operator"
url = "{url}"
weight = {weight}
"""
SHARES = """
id = "costs"
currency = "USD"
valid_from = 2026-01-01

[[cost]]
component = "compute"
earner = "operator"
deployments = "*-reset"
per_million = { input = "3" }

[[cost]]
component = "compute"
earner = "operator"
per_million = { input = "0.5", output = "1" }
"""
ROUTES = {
    # model: its deployments, the first preferred; what else its route says
    "fails-over": (("down", "good"), ""),
    "costs": (("reset", "good"), ""),
    "hedged": (("silent", "silent-too"), "hedge_ms = 20"),
    "hedged-well": (("silent", "good"), "hedge_ms = 20"),
    "shadowed": (("good",), 'shadow = { deployment = "shadows-shadow", share = "100%" }'),
    "shadows": (("shadow",), ""),
    "streams": (("streaming",), ""),
    "falls-back": (("down",), 'fallback = ["costs"]'),
}


class Routed(NamedTuple):
    gateway: Gateway
    upstream: Upstream

    def post(self, model: str, headers: dict[str, str] | None = None, **fields: Any):
        connection = http.client.HTTPConnection(*self.gateway.address, timeout=20)
        body = json.dumps({"model": model, "messages": HELLO, **fields})
        sent = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, sent | (headers or {}))
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), read

    def record(self, headers: dict[str, str]) -> UsageRecord:
        return self.gateway.record_of(headers["x-steelyard-call-id"])


@contextmanager
def routed(folder) -> Generator[Routed]:
    with serving(SCRIPTS) as upstream:
        write_studio(folder, [])
        parts = [(folder / "steelyard.toml").read_text("utf-8")]
        parts[0] = parts[0].replace('id = "acme-key"', 'id = "acme-key"\nrouting = true')
        for model, (names, more) in ROUTES.items():
            listed = ", ".join(f'"{model}-{name}"' for name in names)
            parts.append(MODEL.format(model=model, deployments=listed, more=more))
            for place, name in enumerate(names):
                url, weight = upstream.url(name), 1 if place else 1000
                parts.append(DEPLOYMENT.format(model=model, name=name, url=url, weight=weight))
        (folder / "steelyard.toml").write_text("\n".join(parts), "utf-8")
        (folder / "shares").mkdir()
        (folder / "shares" / "usd.toml").write_text(SHARES, "utf-8")
        gateway = start(folder)
        try:
            yield Routed(gateway, upstream)
        finally:
            stop(gateway)


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Generator[Routed]:
    with routed(tmp_path_factory.mktemp("routed")) as made:
        yield made


pytestmark = pytest.mark.xdist_group("routing")


def test_the_head_says_how_a_call_was_made_and_what_it_costs(studio):
    status, headers, _ = studio.post("fails-over")
    assert status == 200
    assert headers["x-steelyard-deployment"] == "fails-over-good"
    assert headers["x-steelyard-attempts"] == "2"
    assert 0 < float(headers["x-steelyard-overhead-ms"]) < 1000
    # 12 tokens at 1 and 3 at 2 for a million
    assert headers["x-steelyard-price"] == "0.000018"
    assert headers["x-steelyard-currency"] == "USD"
    record = studio.record(headers)
    assert (record.deployment, record.attempts) == ("fails-over-good", 2)
    assert [(each.deployment, each.error) for each in record.tries] == [
        ("fails-over-down", "upstream_error")
    ]


def test_another_model_answers_at_its_own_price(studio):
    _, headers, _ = studio.post("falls-back")
    record = studio.record(headers)
    assert (record.model, record.asked) == ("costs", "falls-back")
    assert headers["x-steelyard-attempts"] == "3"
    assert [each.model for each in record.tries] == ["falls-back", "costs"]


def test_a_key_that_may_chooses_its_deployment(studio):
    chosen = {"x-steelyard-deployments": "fails-over-down"}
    status, headers, _ = studio.post("fails-over", chosen)
    assert (status, headers["x-steelyard-call-id"] != "") == (503, True)
    chosen = {"x-steelyard-deployments": "!fails-over-down"}
    status, headers, _ = studio.post("fails-over", chosen)
    assert (status, headers["x-steelyard-attempts"]) == (200, "1")
    status, _, body = studio.post("fails-over", {"x-steelyard-deployments": "elsewhere"})
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_parameter")


def test_a_second_attempt_answers_and_the_first_is_cancelled(studio):
    studio.upstream.hung_up["silent"].clear()
    status, headers, _ = studio.post("hedged-well")
    assert (status, headers["x-steelyard-deployment"]) == (200, "hedged-well-good")
    record = studio.record(headers)
    assert [(each.deployment, each.outcome) for each in record.tries] == [
        ("hedged-well-silent", "cancelled")
    ]
    assert studio.upstream.hung_up["silent"].wait(5)


def test_a_caller_that_hangs_up_ends_both_attempts(studio):
    for name in ("silent", "silent-too"):
        studio.upstream.hung_up[name].clear()
    connection = http.client.HTTPConnection(*studio.gateway.address, timeout=20)
    body = json.dumps({"model": "hedged", "messages": HELLO})
    connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {SECRET}"})
    until(lambda: "silent-too" in studio.upstream.asked)
    connection.close()
    assert studio.upstream.hung_up["silent"].wait(5)
    assert studio.upstream.hung_up["silent-too"].wait(5)
    until(lambda: any(record.model == "hedged" for record in studio.gateway.records()))
    (record,) = [each for each in studio.gateway.records() if each.model == "hedged"]
    assert (record.outcome, record.meters, len(record.tries)) == ("cancelled", {}, 1)


def test_a_shadow_is_booked_as_ours(studio):
    _, headers, _ = studio.post("shadowed")
    call_id = ids.parse(headers["x-steelyard-call-id"])
    until(lambda: any(each.shadow_of == call_id for each in studio.gateway.records()))
    (copy,) = [each for each in studio.gateway.records() if each.shadow_of == call_id]
    assert (copy.model, copy.deployment, copy.meters) == ("shadows", "shadows-shadow", {})
    assert copy.produced is not None
    assert copy.produced["output_tokens"] == 3


def test_a_stream_tells_its_cost(studio):
    options = {"include_usage": True, "include_cost": True}
    with studio.gateway.client() as client:
        chunks = list(
            client.chat.completions.create(
                model="streams", messages=HELLO, stream=True, stream_options=options
            )
        )
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.model_extra == {"cost": "0.000018", "currency": "USD"}
    asked = json.loads(studio.upstream.asked["streaming"][-1].body)
    assert asked["stream_options"] == {"include_usage": True}


def test_the_books_have_each_attempt_at_its_own_cost_and_are_whole(tmp_path):
    with routed(tmp_path) as made:
        _, headers, _ = made.post("costs")
        _, _, _ = made.post("shadowed")
        time.sleep(0.2)
    steelyard = [sys.executable, "-m", "steelyard", "--studio", str(tmp_path)]
    subprocess.run([*steelyard, "clerk", "--once"], check=True)
    subprocess.run([*steelyard, "audit"], check=True)
    files = sorted((tmp_path / "lines").glob("*.parquet"))
    lines = [line for file in files for line in pq.read_table(file).to_pylist()]
    call_id = ids.parse(headers["x-steelyard-call-id"])
    found = [
        (line["side"], line["deployment"], line["meter"], line["units"], line["price_pico"])
        for line in lines
        if line["call_id"] == call_id
    ]
    assert found == [
        ("charge", "costs-good", "input_tokens", 12, 1_000_000),
        ("charge", "costs-good", "output_tokens", 3, 2_000_000),
        ("cost", "costs-good", "input_tokens", 12, 500_000),
        ("cost", "costs-good", "output_tokens", 3, 1_000_000),
        ("cost", "costs-reset", "input_tokens", 7, 3_000_000),
    ]
    assert {line["side"] for line in lines if line["model"] == "shadows"} == {"cost"}


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
