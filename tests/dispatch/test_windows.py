"""Windows: what is taken of a minute, of a burst, of a day, and when it is free again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.dispatch.windows import Day, Minute, Now, Smoothing
from steelyard.values.periods import from_us
from tests.rating.documents import us

SECOND = 1_000_000
HOUR = 3600 * SECOND
LIMIT = 100


def at(us_: int) -> Now:
    return Now(us_, us_)


MINUTES = [
    # taken: (second, units); asked at, units; wait in seconds (None: for ever)
    ([], 0, 100, 0),
    ([], 0, 101, None),
    ([(0, 100)], 0, 1, 61),
    ([(0, 100)], 59, 1, 2),
    ([(0, 100)], 60, 1, 1),
    ([(0, 100)], 61, 100, 0),
    ([(0, 40), (30, 60)], 30, 40, 31),
    ([(0, 40), (30, 60)], 30, 41, 61),
    ([(0, 40), (30, 60)], 61, 40, 0),
    ([(0, 50)], 10, 50, 0),
    ([(0, 150)], 10, 1, 51),
]


@pytest.mark.parametrize(("taken", "second", "units", "wait_s"), MINUTES)
def test_a_minute_is_any_sixty_seconds(taken, second, units, wait_s):
    minute = Minute(LIMIT)
    for when, much in taken:
        minute.take(at(when * SECOND), much)
    wait_us = minute.wait_us(at(second * SECOND), units)
    assert wait_us == (None if wait_s is None else wait_s * SECOND)


CALLS = st.lists(
    st.tuples(
        st.integers(0, 20 * SECOND),  # how long after the one before
        st.integers(1, 60),  # units wanted
        st.integers(0, 60),  # units used, when it is over
        st.integers(0, 90 * SECOND),  # how long it takes
    ),
    max_size=60,
)


@given(CALLS)
def test_never_more_than_the_limit_in_any_minute(calls):
    """What a call used counts from when it was admitted; it used no more than it had taken."""
    minute, now_us = Minute(LIMIT), 0
    used: list[tuple[int, int]] = []
    ends: list[tuple[int, int, int]] = []
    for gap_us, wanted, spent, takes_us in calls:
        now_us += gap_us
        for ended_us, begun_us, back in sorted(end for end in ends if end[0] <= now_us):
            minute.correct(at(begun_us), at(ended_us), -back)
        ends = [end for end in ends if end[0] > now_us]
        if minute.wait_us(at(now_us), wanted) == 0:
            minute.take(at(now_us), wanted)
            used.append((now_us, min(spent, wanted)))
            ends.append((now_us + takes_us, now_us, wanted - min(spent, wanted)))
    for begin_us, _ in used:
        within = [u for when, u in used if begin_us <= when < begin_us + 60 * SECOND]
        assert sum(within) <= LIMIT


@given(st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 60)), max_size=60))
def test_who_waits_as_long_as_it_was_told_is_admitted(calls):
    minute, smoothing, now_us = Minute(LIMIT), Smoothing(LIMIT, 10), 0
    for gap_us, units in calls:
        now_us += gap_us
        for window in (minute, smoothing):
            wait_us = window.wait_us(at(now_us), units)
            assert wait_us is not None
            if wait_us:
                assert window.wait_us(at(now_us + wait_us - 1), units) != 0
            now_us += wait_us
            assert window.wait_us(at(now_us), units) == 0
            window.take(at(now_us), units)


@given(
    st.lists(st.tuples(st.integers(0, 70 * SECOND), st.integers(1, 100)), max_size=40),
    st.sampled_from([lambda: Minute(LIMIT), lambda: Day(LIMIT, "Asia/Shanghai")]),
)
def test_what_is_given_back_is_back(calls, made):
    window, moments, now_us = made(), [], us("2026-11-24T08:00:00+08:00")
    for gap_us, units in calls:
        now_us += gap_us
        window.take(at(now_us), units)
        moments.append((now_us, units))
    for taken_us, units in moments:
        window.correct(at(taken_us), at(now_us), -units)
    assert window.room(at(now_us)).left == window.limit
    assert window.room(at(now_us)).reset_us == 0


def test_what_was_used_more_is_taken_late():
    minute = Minute(LIMIT)
    minute.take(at(0), 10)
    minute.correct(at(0), at(50 * SECOND), 100)
    assert minute.room(at(50 * SECOND)).left == 0
    assert minute.wait_us(at(61 * SECOND), 1) == 50 * SECOND


def test_what_is_free_already_does_not_come_back_twice():
    minute = Minute(LIMIT)
    minute.take(at(0), 90)
    minute.take(at(70 * SECOND), 90)
    minute.correct(at(0), at(70 * SECOND), -90)
    assert minute.room(at(70 * SECOND)).left == 10


SMOOTH = [
    # per minute, burst in seconds: units at once, seconds until one more
    (60, 1, 1, 1),
    (60, 10, 10, 1),
    (600, 6, 60, 1 / 10),
    (60_000, 1, 1000, 1 / 1000),
    (6, 1, 1, 10),
]


@pytest.mark.parametrize(("per_minute", "burst_s", "at_once", "then_s"), SMOOTH)
def test_a_burst_and_then_a_sixtieth_each_second(per_minute, burst_s, at_once, then_s):
    smoothing = Smoothing(per_minute, burst_s)
    assert smoothing.room(at(0)).left == at_once
    for _ in range(at_once):
        assert smoothing.wait_us(at(0), 1) == 0
        smoothing.take(at(0), 1)
    assert smoothing.wait_us(at(0), 1) == then_s * SECOND


@given(
    st.integers(1, 1000),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(1, 20)), max_size=60),
)
def test_never_more_than_a_burst_and_the_even_rate(per_minute, burst_s, calls):
    smoothing, now_us = Smoothing(per_minute, burst_s), 0
    taken: list[tuple[int, int]] = []
    for gap_us, units in calls:
        now_us += gap_us
        if units <= smoothing.limit and smoothing.wait_us(at(now_us), units) == 0:
            smoothing.take(at(now_us), units)
            taken.append((now_us, units))
    for i, (begin_us, _) in enumerate(taken):
        so_far = 0
        for when_us, units in taken[i:]:
            so_far += units
            even = per_minute * (when_us - begin_us) / (60 * SECOND)
            assert so_far <= max(1, per_minute * burst_s / 60) + even


def test_a_call_larger_than_a_burst_goes_alone_and_the_others_wait_for_it():
    smoothing = Smoothing(60, 5)
    assert smoothing.wait_us(at(0), 30) == 0
    smoothing.take(at(0), 30)
    assert smoothing.wait_us(at(0), 1) == 26 * SECOND
    assert smoothing.wait_us(at(26 * SECOND), 1) == 0


def test_what_has_drained_does_not_come_back():
    """Else a call that ends late would let others burst twice."""
    smoothing = Smoothing(60, 10)
    smoothing.take(at(0), 10)
    smoothing.take(at(10 * SECOND), 10)
    smoothing.correct(at(0), at(10 * SECOND), -10)
    assert smoothing.wait_us(at(10 * SECOND), 1) == SECOND


DAYS = [
    # zone, asked at, when the day is over
    ("Asia/Shanghai", "2026-11-24T15:59:59Z", "2026-11-25T00:00:00+08:00"),
    ("Asia/Shanghai", "2026-11-24T16:00:00Z", "2026-11-26T00:00:00+08:00"),
    ("Asia/Shanghai", "2026-11-24T23:59:59Z", "2026-11-26T00:00:00+08:00"),
    ("UTC", "2026-11-24T15:59:59Z", "2026-11-25T00:00:00Z"),
    ("America/New_York", "2026-03-08T04:59:59Z", "2026-03-08T00:00:00-05:00"),
    ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T00:00:00-04:00"),  # 23 hours
    ("America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T00:00:00-05:00"),  # 25 hours
    ("Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-24T01:00:00+03:00"),  # no midnight
    ("America/Havana", "2026-11-01T04:30:00Z", "2026-11-02T00:00:00-05:00"),  # midnight, 25 hours
    ("America/Santiago", "2026-04-04T12:00:00Z", "2026-04-05T00:00:00-04:00"),  # 23:00 twice
    ("Asia/Kathmandu", "2026-11-24T18:14:59Z", "2026-11-25T00:00:00+05:45"),
]


@pytest.mark.parametrize(("zone", "asked", "over"), DAYS)
def test_a_day_is_the_calendar_s_in_its_zone(zone, asked, over):
    day, now_us, over_us = Day(LIMIT, zone), us(asked), us(over)
    day.take(at(now_us), LIMIT)
    assert from_us(now_us + (day.wait_us(at(now_us), 1) or 0)) == from_us(over_us)
    assert day.wait_us(at(over_us - 1), 1) == 1
    assert day.wait_us(at(over_us), LIMIT) == 0
    assert day.wait_us(at(over_us), LIMIT + 1) is None


def test_a_call_belongs_to_the_day_on_which_it_was_admitted():
    day, before = Day(LIMIT, "Asia/Shanghai"), us("2026-11-24T15:59:59Z")
    after = before + 10 * SECOND
    day.take(at(before), 60)
    day.correct(at(before), at(after), -50)
    assert day.room(at(after)).left == LIMIT
    day.take(at(after), 30)
    day.correct(at(after), at(after + HOUR), 5)
    assert day.room(at(after + HOUR)).left == 65


def test_a_clock_that_is_set_back_opens_no_new_day():
    day, midnight = Day(LIMIT, "Asia/Shanghai"), us("2026-11-24T16:00:00Z")
    day.take(at(midnight), 60)
    assert day.room(at(midnight - HOUR)).left == 40
    day.take(at(midnight - HOUR), 20)
    assert day.room(at(midnight + 1)).left == 20
