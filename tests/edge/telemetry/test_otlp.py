"""Traces and metrics over OTLP, as a collector decodes them."""

from __future__ import annotations

import time

import pytest

from steelyard.dispatch import tracing
from steelyard.dispatch.tracing import Trace
from steelyard.edge.telemetry.otlp import Destination, Exporter
from tests.edge.telemetry.seen import CALL_ID, attempt, ended, landed, refused
from tests.fixtures.collector import collecting

SERVER, CLIENT = 2, 3
TRACE_ID, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACE = Trace(trace_id=TRACE_ID, parent=PARENT, sampled=True, state="vendor=1", ours=True)
UNSAMPLED = Trace(trace_id=TRACE_ID, parent=PARENT, sampled=False, state="", ours=True)


@pytest.fixture(scope="module")
def collector():
    """What one exporter sent of a call, an attempt, a refusal, and of calls nobody samples."""
    with collecting() as found:
        exporter = Exporter(_to(found.url), {"d": attempt().deployment})
        exporter.ended(ended(trace=TRACE))
        exporter.landed(landed("upstream_timeout", trace=TRACE))
        exporter.refused(refused(trace=TRACE))
        exporter.ended(ended(trace=UNSAMPLED, outcome="failed", error="upstream_broken", meters={}))
        exporter.ended(ended())
        exporter.close()
        assert exporter.dropped == 0
        yield found


def _to(url: str) -> Destination:
    return Destination(endpoint=url, writer="gateway-1", interval_s=3600, items_max=100)


def test_a_call_is_a_span_of_the_callers_trace(collector):
    span, *others = [each for each in collector.spans if each.name == "chat m"]
    assert others == []
    assert (span.kind, span.trace_id, span.parent) == (SERVER, TRACE_ID, PARENT)
    assert span.span_id == tracing.span_id(CALL_ID, 0)
    assert span.taken_s == pytest.approx(1.25)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vendor",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-large",
        "gen_ai.response.id": "up-1",
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 11,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "http.response.status_code": 200,
        "steelyard.call.id": "0199e0a0-c0de-7abc-8def-0123456789ab",
        "steelyard.customer": "acme",
        "steelyard.deployment": "d",
        "steelyard.key": "k",
        "steelyard.outcome": "completed",
    }
    assert span.resource["service.name"] == "steelyard"
    assert span.resource["service.instance.id"] == "gateway-1"


def test_an_attempt_is_a_span_below_its_call(collector):
    (span,) = [each for each in collector.spans if each.kind == CLIENT]
    assert span.name == "chat m-large"
    assert (span.trace_id, span.parent) == (TRACE_ID, tracing.span_id(CALL_ID, 0))
    assert span.span_id == tracing.span_id(CALL_ID, 1)
    assert span.taken_s == pytest.approx(0.5)
    assert span.attributes["error.type"] == "upstream_timeout"


def test_a_refusal_is_a_span_with_its_code(collector):
    (span,) = [each for each in collector.spans if each.name == "refused"]
    assert span.attributes["error.type"] == "overloaded"
    assert span.attributes["http.response.status_code"] == 503


def test_metrics_have_every_call_sampled_or_not(collector):
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vendor",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-large",
    }
    durations = collector.points["gen_ai.server.request.duration"]
    assert {each.attributes.get("error.type"): each.number for each in durations} == {
        None: 2,
        "upstream_broken": 1,
    }
    (first,) = collector.points["gen_ai.server.time_to_first_token"]
    assert (first.number, first.attributes) == (3, about)
    (per_token,) = collector.points["gen_ai.server.time_per_output_token"]
    assert (per_token.number, per_token.sum) == (2, pytest.approx(0.2))
    tokens = collector.points["gen_ai.client.token.usage"]
    assert {each.attributes["gen_ai.token.type"]: each.sum for each in tokens} == {
        "input": 80,
        "output": 22,
    }
    (operation,) = collector.points["gen_ai.client.operation.duration"]
    assert operation.sum == pytest.approx(0.5)
    assert operation.attributes["error.type"] == "upstream_timeout"


def test_no_secret_leaves(collector):
    assert not [body for body in collector.bodies if b"sk-secret" in body or b"someone" in body]


def test_a_collector_that_is_away_costs_no_time_and_is_counted():
    with collecting() as gone:
        url = gone.url
    exporter = Exporter(_to(url), {})
    begun = time.monotonic()
    for _ in range(150):
        exporter.ended(ended(trace=TRACE))
    assert time.monotonic() - begun < 0.5
    assert exporter.dropped >= 50
    exporter.close()
    assert exporter.dropped == 150
