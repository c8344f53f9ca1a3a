"""Calls as an observer sees them."""

from __future__ import annotations

from collections.abc import Mapping

from steelyard.catalogue.documents import Deployment
from steelyard.dispatch.calls import Arrival, Ask
from steelyard.dispatch.observing import Ended, Landed, Refused
from steelyard.dispatch.refusals import overloaded
from steelyard.dispatch.stages import Attempt, Call
from steelyard.dispatch.tracing import Trace
from steelyard.governance.keys import Key
from steelyard.values.usage import Outcome, UsageRecord

AT_US = 1_795_478_400_000_000
CALL_ID = bytes.fromhex("0199e0a0c0de7abc8def0123456789ab")
TOKENS = {"input_tokens": 30, "cached_input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 6}


def arrival(trace: Trace | None = None) -> Arrival:
    return Arrival(CALL_ID, AT_US, 1_000, "sk-secret", trace)


def ended(
    *,
    customer: str = "acme",
    outcome: Outcome = "completed",
    error: str | None = None,
    meters: Mapping[str, int] = TOKENS,
    first_token_us: int | None = 250_000,
    duration_us: int = 1_250_000,
    trace: Trace | None = None,
) -> Ended:
    record = UsageRecord(
        call_id=CALL_ID,
        at_us=AT_US,
        edition=1,
        customer=customer,
        contract="c",
        key_id="k",
        model="m",
        deployment="d",
        outcome=outcome,
        meters={**meters, "egress_bytes": 99},
        sources={},
        first_token_us=first_token_us,
        duration_us=duration_us,
        streamed=first_token_us is not None,
        status=200,
        error=error,
        user="someone",
        upstream_id="up-1",
    )
    return Ended(arrival(trace), "chat", record)


def attempt(customer: str = "acme", trace: Trace | None = None) -> Attempt:
    call = Call(
        arrival=arrival(trace),
        key=Key(id="k", customer=customer, contract="c", sha256=""),
        ask=Ask(kind="chat", model="m", fields={}, ingress_bytes=2),
        edition=1,
    )
    return Attempt(
        call,
        Deployment(id="d", model="m", kind="openai", provider="vendor", upstream_model="m-large"),
    )


def landed(error: str | None = None, trace: Trace | None = None) -> Landed:
    outcome: Outcome = "completed" if error is None else "failed"
    return Landed(attempt(trace=trace), outcome, error, 2_000, 502_000)


def refused(customer: str | None = "acme", trace: Trace | None = None) -> Refused:
    return Refused(arrival(trace), overloaded(), 503, 70, customer)
