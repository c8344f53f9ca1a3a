"""Retrying: which failures, after which pause, and how many of all calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.dispatch import refusals, retrying
from steelyard.dispatch.retrying import BUDGET_MIN, PAUSE_US, PAUSE_US_MAX, Budget
from steelyard.upstream.openai import Fault
from steelyard.upstream.transport import Kind

SAID = Fault(message="said")
FAILURES = [
    # what an upstream did, is it tried again, does it speak against the deployment
    (refusals.upstream_failed(Kind.UNREACHABLE), True, True),
    (refusals.upstream_failed(Kind.TIMEOUT), True, True),
    (refusals.upstream_failed(Kind.BROKEN), True, True),
    (refusals.not_understood(), True, True),
    (refusals.upstream_failed(Kind.TOO_LARGE), False, False),
    (refusals.upstream_refused(401, SAID), True, True),
    (refusals.upstream_refused(429, SAID), True, False),
    (refusals.upstream_refused(500, SAID), True, True),
    (refusals.upstream_refused(503, SAID), True, True),
    (refusals.upstream_refused(529, SAID), True, True),
    (refusals.upstream_refused(200, SAID), True, True),
    (refusals.upstream_refused(400, SAID), False, False),
    (refusals.upstream_refused(404, SAID), False, False),
    (refusals.upstream_refused(501, SAID), False, False),
    (refusals.interrupted(), False, False),
]


@pytest.mark.parametrize(("refusal", "again", "fault"), FAILURES)
def test_what_is_tried_again(refusal, again, fault):
    assert retrying.is_retried(refusal) is again
    assert retrying.is_fault(refusal) is fault


PAUSES = [
    # the how manieth time, Retry-After, the longest pause; None: not tried again
    (1, None, 100_000),
    (2, None, 200_000),
    (3, None, 400_000),
    (6, None, 3_200_000),
    (7, None, 5_000_000),
    (1000, None, 5_000_000),
    (1, 0, 100_000),
    (1, 2, 2_100_000),
    (1, 10, 10_100_000),
    (1, 11, None),
]


@pytest.mark.parametrize(("again", "after_s", "longest_us"), PAUSES)
def test_pauses_double_and_what_the_upstream_asks_for_is_waited(again, after_s, longest_us):
    found = {retrying.pause_us(again, after_s, bits) for bits in range(0, 6_000_000, 50_000)}
    if longest_us is None:
        assert found == {None}
    else:
        pauses_us = [each for each in found if each is not None]
        assert max(pauses_us) == longest_us
        assert min(pauses_us) == (after_s or 0) * 1_000_000


@given(st.integers(1, 50), st.none() | st.integers(0, 10), st.integers(0, 2**74))
def test_a_pause_is_bounded(again, after_s, bits):
    pause_us = retrying.pause_us(again, after_s, bits)
    assert pause_us is not None
    assert 0 <= pause_us <= PAUSE_US_MAX + 10_000_000
    assert PAUSE_US <= PAUSE_US_MAX


@given(st.lists(st.booleans(), max_size=300), st.sampled_from([0, 5, 20, 100]))
def test_attempts_beyond_the_first_are_a_part_of_the_calls(story, percent):
    budget, calls, spent = Budget(percent), 0, 0
    for call in story:
        if call:
            budget.earn()
            calls += 1
        else:
            spent += budget.spend()
        assert spent * 100 <= BUDGET_MIN * 100 + calls * percent


def test_a_budget_that_is_spent_comes_back_with_calls():
    budget = Budget(20)
    assert [budget.spend() for _ in range(BUDGET_MIN + 1)] == [True] * BUDGET_MIN + [False]
    for _ in range(5):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
