"""Breakers: from how calls went to whether the next one is made, on a clock of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.dispatch import breaker
from steelyard.dispatch.breaker import CLOSED, FAILURES_MIN, OPEN_US, OPEN_US_MAX, WINDOW_US

S = 1_000_000


def played(story: str, state=CLOSED, at_us=0):
    """``x`` a failure, ``.`` an answer, ``?`` a call that says nothing, ``>`` a second passes."""
    for each in story.replace(" ", ""):
        if each == ">":
            at_us += S
            continue
        state = breaker.entered(state, at_us)
        if each == "x":
            state = breaker.failed(state, at_us)
        elif each == ".":
            state = breaker.answered(state, at_us)
        else:
            state = breaker.left(state)
    return state, at_us


STORIES = [
    # what happened, how the breaker stands then, whether a call is made
    ("", "closed", True),
    ("....", "closed", True),
    ("xxxx", "closed", True),
    ("xxxxx", "open", False),
    ("xxxxx >", "open", False),
    ("xxxxx >>", "half_open", True),
    ("..... xxxxx", "open", False),
    ("...... xxxxx", "closed", True),
    ("????? xxxxx", "open", False),
    ("xxxx >>>>>>>>>>>>>>>>>>>> x", "closed", True),
    ("xxxxx >> .", "closed", True),
    ("xxxxx >> x", "open", False),
    ("xxxxx >> x >>", "open", False),
    ("xxxxx >> x >>>>", "half_open", True),
    ("xxxxx >> x >>>> x >>>>>>>", "open", False),
    ("xxxxx >> ?", "half_open", True),
    ("xxxxx >> . xxxx", "closed", True),
]


@pytest.mark.parametrize(("story", "phase", "admits"), STORIES)
def test_a_breaker(story, phase, admits):
    state, now_us = played(story)
    assert breaker.phase(state, now_us) == phase
    assert breaker.admits(state, now_us) is admits


def test_a_half_open_breaker_lets_one_call_through():
    state, now_us = played("xxxxx >>")
    assert breaker.admits(state, now_us)
    probing = breaker.entered(state, now_us)
    assert not breaker.admits(probing, now_us + S)
    assert breaker.admits(probing, now_us + breaker.PROBE_US)


def test_what_began_before_it_opened_does_not_move_it():
    state, now_us = played("xxxxx >>")
    assert breaker.answered(state, now_us) is state
    assert breaker.failed(state, now_us) is state


def test_a_deployment_that_asks_for_it_is_left_alone():
    state = breaker.held(CLOSED, 7 * S)
    assert not breaker.admits(state, 7 * S - 1)
    assert breaker.admits(state, 7 * S)
    assert breaker.held(state, 3 * S).until_us == 7 * S
    assert breaker.opens_us(state, 2 * S) == 5 * S
    assert breaker.answered(breaker.entered(state, 7 * S), 7 * S) == CLOSED


@given(st.lists(st.sampled_from("x.?>"), max_size=200).map("".join))
def test_it_never_stays_shut_for_longer_than_its_bound(story):
    state, now_us = played(story)
    assert breaker.opens_us(state, now_us) <= OPEN_US_MAX
    assert breaker.admits(state, now_us + OPEN_US_MAX + breaker.PROBE_US)
    if breaker.phase(state, now_us) == "closed":
        assert "x" * (2 * FAILURES_MIN) not in story.replace("?", "")[-2 * FAILURES_MIN :]
    assert OPEN_US < WINDOW_US
