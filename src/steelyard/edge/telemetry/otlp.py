"""OTLP: traces and metrics in OpenTelemetry's words for generative AI, sent by a thread.

A call is a server span named for its operation and model; each attempt at an upstream is a client
span below it. Spans are made from what calls left behind, so that a call pays for none of it.
Source: OpenTelemetry's semantic conventions for generative AI, in development, as of 1.37.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from steelyard import __version__
from steelyard.catalogue.documents import Deployment
from steelyard.dispatch import tracing
from steelyard.dispatch.calls import Arrival
from steelyard.dispatch.observing import Ended, Landed, Refused
from steelyard.dispatch.tracing import Trace
from steelyard.edge.telemetry.drains import Drain
from steelyard.edge.telemetry.tallies import per_output_token_us
from steelyard.edge.telemetry.watching import Unmoved
from steelyard.values import ids
from steelyard.values.meters import PROMPT_METERS

EVERY_S = 1.0
SPANS_AT_ONCE_MAX = 512
TIMEOUT_S = 5.0
CLOSE_S = 1.0
NAME = "steelyard"

_US = 1_000_000
_NS_PER_US = 1000
_OUTPUT_METERS = ("output_tokens", "reasoning_tokens")
_TOKEN_BOUNDS = [4.0**power for power in range(14)]
_DURATION_BOUNDS = [0.01 * 2**power for power in range(14)]
_FIRST_TOKEN_BOUNDS = [
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
]
_PER_TOKEN_BOUNDS = [
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
]

Seen = Refused | Landed | Ended
Attributes = dict[str, str | int | float | bool]


class Histogram(Protocol):
    """An instrument of the SDK."""

    def record(self, amount: float, attributes: Attributes) -> None:
        """Take one value."""
        ...


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send, as whom, and what may wait. Unit: seconds."""

    endpoint: str
    writer: str
    interval_s: int
    items_max: int


class Exporter(Unmoved):
    """Sends calls as spans and metrics. ``deployments`` are those of the edition, by id."""

    def __init__(self, to: Destination, deployments: Mapping[str, Deployment]) -> None:
        # What can't be sent is tried again, dropped, counted; each warning would be a line more.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._deployments = deployments
        self._resource = Resource.create(
            {
                "service.name": NAME,
                "service.version": __version__,
                "service.instance.id": to.writer,
            }
        )
        base = to.endpoint.rstrip("/")
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=TIMEOUT_S)
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=TIMEOUT_S),
            export_interval_millis=to.interval_s * 1000,
        )
        self._provider = MeterProvider([reader], resource=self._resource, shutdown_on_exit=False)
        meter = self._provider.get_meter(NAME, __version__)

        def histogram(name: str, unit: str, bounds: Sequence[float]) -> Histogram:
            return meter.create_histogram(
                name, unit=unit, explicit_bucket_boundaries_advisory=bounds
            )

        self._operation = histogram("gen_ai.client.operation.duration", "s", _DURATION_BOUNDS)
        self._tokens = histogram("gen_ai.client.token.usage", "{token}", _TOKEN_BOUNDS)
        self._request = histogram("gen_ai.server.request.duration", "s", _DURATION_BOUNDS)
        self._first = histogram("gen_ai.server.time_to_first_token", "s", _FIRST_TOKEN_BOUNDS)
        self._per_token = histogram("gen_ai.server.time_per_output_token", "s", _PER_TOKEN_BOUNDS)
        self._scope = InstrumentationScope(NAME, __version__)
        self._drain: Drain[Seen] = Drain(
            "otlp", self._carry, items_max=to.items_max, every_s=EVERY_S
        )

    @property
    def dropped(self) -> int:
        """What could not be kept or sent: refusals, attempts and calls."""
        return self._drain.dropped

    def refused(self, seen: Refused) -> None:
        """Note a refusal."""
        self._drain.put(seen)

    def landed(self, seen: Landed) -> None:
        """Note an attempt."""
        self._drain.put(seen)

    def ended(self, seen: Ended) -> None:
        """Note a call."""
        self._drain.put(seen)

    def close(self) -> None:
        """Send what is left, within a bounded time: a collector that is away holds nobody up."""
        self._drain.close(CLOSE_S)
        self._spans.shutdown()
        self._drain.close(CLOSE_S)
        self._provider.shutdown(timeout_millis=CLOSE_S * 1000)

    def _carry(self, items: list[Seen]) -> int:
        lost = 0
        for item in items:
            self._measure(item)
        for start in range(0, len(items), SPANS_AT_ONCE_MAX):
            spans = [*self._spans_of(items[start : start + SPANS_AT_ONCE_MAX])]
            if spans and self._spans.export(spans) is not SpanExportResult.SUCCESS:
                lost += len(spans)
        return lost

    def _measure(self, seen: Seen) -> None:
        if isinstance(seen, Landed):
            taken_us = seen.closed_us - seen.opened_us
            self._operation.record(taken_us / _US, self._about_attempt(seen))
        elif isinstance(seen, Ended):
            record, about = seen.record, self._about_call(seen)
            prompt = sum(record.meters.get(name, 0) for name in PROMPT_METERS)
            answer = sum(record.meters.get(name, 0) for name in _OUTPUT_METERS)
            for kind, count in (("input", prompt), ("output", answer)):
                if count:
                    self._tokens.record(count, about | {"gen_ai.token.type": kind})
            if record.duration_us is not None:
                failed: Attributes = {} if record.error is None else {"error.type": record.error}
                self._request.record(record.duration_us / _US, about | failed)
            if record.first_token_us is not None:
                self._first.record(record.first_token_us / _US, about)
            if (per_token_us := per_output_token_us(record)) is not None:
                self._per_token.record(per_token_us / _US, about)

    def _about_call(self, seen: Ended) -> Attributes:
        deployment = self._deployments.get(seen.record.deployment)
        about: Attributes = {
            "gen_ai.operation.name": seen.operation,
            "gen_ai.request.model": seen.record.asked or seen.record.model,
        }
        if deployment is not None:
            about["gen_ai.provider.name"] = deployment.provider
            about["gen_ai.response.model"] = deployment.upstream_model or seen.record.model
        return about

    def _about_attempt(self, seen: Landed) -> Attributes:
        deployment = seen.attempt.deployment
        about: Attributes = {
            "gen_ai.operation.name": seen.attempt.ask.kind,
            "gen_ai.request.model": deployment.upstream_model or deployment.model,
            "gen_ai.provider.name": deployment.provider,
        }
        return about if seen.error is None else about | {"error.type": seen.error}

    def _spans_of(self, items: Sequence[Seen]) -> Iterator[ReadableSpan]:
        for seen in items:
            arrival = seen.attempt.arrival if isinstance(seen, Landed) else seen.arrival
            if arrival.trace is None or not arrival.trace.sampled:
                continue
            if isinstance(seen, Landed):
                yield self._attempt_span(seen, arrival, arrival.trace)
            elif isinstance(seen, Ended):
                yield self._call_span(seen, arrival, arrival.trace)
            else:
                yield self._refusal_span(seen, arrival, arrival.trace)

    def _call_span(self, seen: Ended, arrival: Arrival, trace: Trace) -> ReadableSpan:
        record = seen.record
        meters = record.meters
        told: Mapping[str, str | int | float | None] = {
            "http.response.status_code": record.status,
            "error.type": record.error,
            "gen_ai.response.id": record.upstream_id,
            "gen_ai.usage.input_tokens": sum(meters.get(name, 0) for name in PROMPT_METERS),
            "gen_ai.usage.output_tokens": sum(meters.get(name, 0) for name in _OUTPUT_METERS),
            "gen_ai.usage.cache_read.input_tokens": meters.get("cached_input_tokens"),
            "gen_ai.usage.cache_creation.input_tokens": meters.get("cache_write_tokens"),
            "steelyard.call.id": ids.text(record.call_id),
            "steelyard.customer": record.customer,
            "steelyard.key": record.key_id,
            "steelyard.deployment": record.deployment,
            "steelyard.outcome": record.outcome,
        }
        return self._span(
            f"{seen.operation} {record.asked or record.model}",
            SpanKind.SERVER,
            trace,
            (tracing.span_id(arrival.call_id, 0), trace.parent),
            (arrival.at_us, arrival.at_us + (record.duration_us or 0)),
            self._about_call(seen) | {name: v for name, v in told.items() if v is not None},
        )

    def _attempt_span(self, seen: Landed, arrival: Arrival, trace: Trace) -> ReadableSpan:
        about = self._about_attempt(seen)
        offset_us = arrival.at_us - arrival.started_us
        return self._span(
            f"{about['gen_ai.operation.name']} {about['gen_ai.request.model']}",
            SpanKind.CLIENT,
            trace,
            (
                tracing.span_id(arrival.call_id, seen.attempt.number),
                tracing.span_id(arrival.call_id, 0),
            ),
            (offset_us + seen.opened_us, offset_us + seen.closed_us),
            about | {"steelyard.deployment": seen.attempt.deployment.id},
        )

    def _refusal_span(self, seen: Refused, arrival: Arrival, trace: Trace) -> ReadableSpan:
        about: Attributes = {
            "error.type": seen.refusal.code.value,
            "http.response.status_code": seen.status,
            "steelyard.call.id": ids.text(arrival.call_id),
        }
        if seen.customer is not None:
            about["steelyard.customer"] = seen.customer
        return self._span(
            "refused",
            SpanKind.SERVER,
            trace,
            (tracing.span_id(arrival.call_id, 0), trace.parent),
            (arrival.at_us, arrival.at_us + seen.duration_us),
            about,
        )

    def _span(
        self,
        name: str,
        kind: SpanKind,
        trace: Trace,
        span: tuple[str, str | None],
        times_us: tuple[int, int],
        attributes: Attributes,
    ) -> ReadableSpan:
        this, parent = span
        return ReadableSpan(
            name=name,
            context=_context(trace, this, remote=False),
            parent=None
            if parent is None
            else _context(trace, parent, remote=kind is SpanKind.SERVER),
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR if "error.type" in attributes else StatusCode.UNSET),
            start_time=times_us[0] * _NS_PER_US,
            end_time=times_us[1] * _NS_PER_US,
            instrumentation_scope=self._scope,
        )


def _context(trace: Trace, span: str, *, remote: bool) -> SpanContext:
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(
        int(trace.trace_id, 16), int(span, 16), remote, TraceFlags(TraceFlags.SAMPLED), state
    )
