"""Trace context: what is continued, what begins here, and what an upstream is told."""

from __future__ import annotations

import pytest

from steelyard.dispatch import tracing

CALL_ID = bytes.fromhex("0199e0a0c0de7abc8def0123456789ab")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{SPAN}-01"

NO_TRACES = [
    "",
    "garbage",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{SPAN}-01-more",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE[1:]}-{SPAN}-01",
    SENT + "\n",
]


@pytest.mark.parametrize("header", NO_TRACES)
def test_what_is_no_trace_is_not_continued(header):
    assert tracing.arriving(header, None, CALL_ID, None) is None
    begun = tracing.arriving(header, None, CALL_ID, 100)
    assert begun is not None
    assert begun.trace_id == CALL_ID.hex()
    assert begun.parent is None


def test_a_later_version_may_say_more():
    found = tracing.arriving(f"cc-{TRACE}-{SPAN}-01-more", None, CALL_ID, None)
    assert found is not None
    assert found.trace_id == TRACE


def test_without_spans_of_ours_a_trace_is_handed_on_as_it_came():
    trace = tracing.arriving(SENT, "vendor=1", CALL_ID, None)
    assert tracing.departing(trace, CALL_ID, 1) == (
        ("traceparent", SENT),
        ("tracestate", "vendor=1"),
    )


def test_with_spans_of_ours_an_upstream_is_told_the_attempt():
    trace = tracing.arriving(SENT, None, CALL_ID, 100)
    first, second = (tracing.departing(trace, CALL_ID, number) for number in (1, 2))
    assert first == (("traceparent", f"00-{TRACE}-{tracing.span_id(CALL_ID, 1)}-01"),)
    assert first != second
    assert len({tracing.span_id(CALL_ID, number) for number in range(5)}) == 5


@pytest.mark.parametrize(("percent", "sampled"), [(0, False), (100, True)])
def test_a_caller_decides_on_its_own_traces(percent, sampled):
    begun = tracing.arriving(None, None, CALL_ID, percent)
    assert begun is not None
    assert begun.sampled is sampled
    for flags, theirs in (("01", True), ("00", False)):
        found = tracing.arriving(f"00-{TRACE}-{SPAN}-{flags}", None, CALL_ID, percent)
        assert found is not None
        assert found.sampled is theirs


def test_about_as_many_traces_as_wanted_are_sampled():
    ids = (number.to_bytes(16, "big") for number in range(0, 65536, 16))
    traces = [tracing.arriving(None, None, each, 25) for each in ids]
    assert sum(each is not None and each.sampled for each in traces) * 4 == len(traces)


@pytest.mark.parametrize("state", ["x" * 513, "a=\u00e9", "a=1\tb=2"])
def test_a_state_that_is_too_long_or_not_plain_is_left_out(state):
    trace = tracing.arriving(SENT, state, CALL_ID, None)
    assert tracing.departing(trace, CALL_ID, 1) == (("traceparent", SENT),)
