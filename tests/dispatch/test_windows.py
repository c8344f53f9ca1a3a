"""Windows: what is taken of a minute, of a burst, of a day, and when it is free again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue.limits import Limit
from steelyard.dispatch import limiting
from steelyard.dispatch.purses import Funds, Purse
from steelyard.dispatch.slices import Slice
from steelyard.dispatch.windows import Burst, Minute
from steelyard.values.periods import from_us
from tests.dispatch.studio import KEY
from tests.rating.documents import us

SECOND = 1_000_000
HOUR = 3600 * SECOND
LIMIT = 100


def minute_of(limit: int = LIMIT) -> Minute:
    """All of a minute, at one worker."""
    made = Minute(Purse(name="m", lot=1, size=limit, returns="minute"))
    made.granted = limit
    return made


def burst_of(limit: int, burst_s: int) -> Burst:
    """All of a burst, at one worker."""
    said = Limit(id="a", of="key", requests_per_minute=limit, burst_s=burst_s)
    made = Burst(Purse(name="b", lot=1, size=limit, returns="burst", limit=said))
    made.granted = limit
    return made


def wait_us(window: Slice, now_us: int, units: int) -> int | None:
    """How long until so many units fit: 0, now; None, never."""
    return 0 if window.fits(units, now_us) else window.wait_us(units, now_us, now_us)


def take(window: Slice, now_us: int, units: int) -> None:
    """Take units that fit."""
    window.move_on(now_us)
    window.hold(units)


def left(window: Slice, now_us: int) -> int:
    window.move_on(now_us)
    return window.unleased


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
    minute = minute_of()
    for when, much in taken:
        take(minute, when * SECOND, much)
    found = wait_us(minute, second * SECOND, units)
    assert found == (None if wait_s is None else wait_s * SECOND)


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
    minute, now_us = minute_of(), 0
    used: list[tuple[int, int]] = []
    ends: list[tuple[int, int, int]] = []
    for gap_us, wanted, spent, takes_us in calls:
        now_us += gap_us
        for ended_us, begun_us, back in sorted(end for end in ends if end[0] <= now_us):
            minute.correct(back, 0, begun_us, ended_us)
        ends = [end for end in ends if end[0] > now_us]
        if minute.fits(wanted, now_us):
            minute.hold(wanted)
            used.append((now_us, min(spent, wanted)))
            ends.append((now_us + takes_us, now_us, wanted - min(spent, wanted)))
    for begin_us, _ in used:
        within = [u for when, u in used if begin_us <= when < begin_us + 60 * SECOND]
        assert sum(within) <= LIMIT


@given(st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 60)), max_size=60))
def test_who_waits_as_long_as_it_was_told_is_admitted(calls):
    windows: tuple[Slice, ...] = (minute_of(), burst_of(LIMIT, 10))
    now_us = 0
    for gap_us, units in calls:
        now_us += gap_us
        for window in windows:
            wait = wait_us(window, now_us, units)
            assert wait is not None
            if wait:
                assert wait_us(window, now_us + wait - 1, units) != 0
            now_us += wait
            assert wait_us(window, now_us, units) == 0
            window.hold(units)


@given(st.lists(st.tuples(st.integers(0, 70 * SECOND), st.integers(1, 100)), max_size=40))
def test_what_is_given_back_is_back(calls):
    minute, moments, now_us = minute_of(), [], 0
    for gap_us, units in calls:
        now_us += gap_us
        take(minute, now_us, units)
        moments.append((now_us, units))
    for taken_us, units in moments:
        minute.correct(units, 0, taken_us, now_us)
    assert left(minute, now_us) == LIMIT
    assert minute.reset_us(0, now_us) == 0


def test_what_was_used_more_is_taken_late():
    minute = minute_of()
    take(minute, 0, 10)
    minute.correct(10, 110, 0, 50 * SECOND)
    assert left(minute, 50 * SECOND) == 0
    assert wait_us(minute, 61 * SECOND, 1) == 50 * SECOND


def test_what_is_free_already_does_not_come_back_twice():
    minute = minute_of()
    take(minute, 0, 90)
    take(minute, 70 * SECOND, 90)
    minute.correct(90, 0, 0, 70 * SECOND)
    assert left(minute, 70 * SECOND) == 10


SHARES = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 2), st.integers(1, 60), st.integers(0, 60)),
        st.tuples(st.just("give"), st.integers(0, 2), st.integers(0, 2), st.integers(1, 100)),
        st.tuples(st.just("pass"), st.just(0), st.just(0), st.integers(1, 40)),
    ),
    max_size=80,
)


@given(SHARES)
def test_parts_that_go_from_one_worker_to_another_are_never_more_than_the_whole(steps):
    """What one gives away no call of it has taken in the last minute, so the other may."""
    three = [minute_of(), minute_of(), minute_of()]
    for each, granted in zip(three, (34, 33, 33), strict=True):
        each.granted = granted
    now_us, used = 0, list[tuple[int, int]]()
    for what, first, second, units in steps:
        if what == "pass":
            now_us += units * SECOND // 2
        elif what == "give":
            three[first].move_on(now_us)
            part = max(0, min(units, three[first].room))
            three[first].granted -= part
            three[second].granted += part
        elif three[first].fits(second, now_us):
            three[first].hold(second)
            spent = min(second, units)
            three[first].correct(second, spent, now_us, now_us)
            used.append((now_us, spent))
    for begin_us, _ in used:
        within = [u for when, u in used if begin_us <= when < begin_us + 60 * SECOND]
        assert sum(within) <= LIMIT


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
    smoothing = burst_of(per_minute, burst_s)
    assert smoothing.fits(at_once, 0)
    for _ in range(at_once):
        assert wait_us(smoothing, 0, 1) == 0
        smoothing.hold(1)
    assert wait_us(smoothing, 0, 1) == then_s * SECOND


@given(
    st.integers(1, 1000),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(1, 20)), max_size=60),
)
def test_never_more_than_a_burst_and_the_even_rate(per_minute, burst_s, calls):
    smoothing, now_us = burst_of(per_minute, burst_s), 0
    taken: list[tuple[int, int]] = []
    for gap_us, units in calls:
        now_us += gap_us
        fits_once = max(1, per_minute * burst_s // 60)
        if units <= fits_once and smoothing.fits(units, now_us):
            smoothing.hold(units)
            taken.append((now_us, units))
    for i, (begin_us, _) in enumerate(taken):
        so_far = 0
        for when_us, units in taken[i:]:
            so_far += units
            even = per_minute * (when_us - begin_us) / (60 * SECOND)
            assert so_far <= max(1, per_minute * burst_s / 60) + even


def test_a_call_larger_than_a_burst_goes_alone_and_the_others_wait_for_it():
    smoothing = burst_of(60, 5)
    assert wait_us(smoothing, 0, 30) == 0
    smoothing.hold(30)
    assert wait_us(smoothing, 0, 1) == 26 * SECOND
    assert wait_us(smoothing, 26 * SECOND, 1) == 0


def test_what_has_drained_does_not_come_back():
    """Else a call that ends late would let others burst twice."""
    smoothing = burst_of(60, 10)
    take(smoothing, 0, 10)
    take(smoothing, 10 * SECOND, 10)
    smoothing.correct(10, 0, 0, 10 * SECOND)
    assert wait_us(smoothing, 10 * SECOND, 1) == SECOND


PARTS = st.lists(
    st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 1), st.integers(1, 8)), max_size=60
)


@given(st.integers(1, 60), st.integers(1, 30), PARTS)
def test_two_parts_of_a_burst_let_through_no_more_than_the_whole(part, burst_s, calls):
    """Each has its part of the rate; which is which changes while they drain."""
    per_minute, now_us = 61, 0
    two = [burst_of(per_minute, burst_s), burst_of(per_minute, burst_s)]
    two[0].granted, two[1].granted = part, per_minute - part
    taken: list[tuple[int, int]] = []
    for gap_us, which, units in calls:
        now_us += gap_us
        fits_once = max(1, per_minute * burst_s // 60)
        if units <= fits_once and two[which].fits(units, now_us):
            two[which].hold(units)
            taken.append((now_us, units))
        other = two[1 - which]
        for each in two:
            each.move_on(now_us)
        free = max(0, other.granted - other.held)
        other.granted, two[which].granted = other.granted - free, two[which].granted + free
    for i, (begin_us, _) in enumerate(taken):
        so_far = 0
        for when_us, units in taken[i:]:
            so_far += units
            even = per_minute * (when_us - begin_us) / (60 * SECOND)
            assert so_far <= max(1, per_minute * burst_s / 60) + even


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
    limit, asked_us, over_us = Limit(id="a", of="key", requests_per_day=LIMIT), us(asked), us(over)
    known = Funds(limits=(limit,), zones={KEY.customer: zone})
    (day,) = limiting.purses(known, KEY, "m", asked_us)
    assert from_us(day.until_us) == from_us(over_us)
    assert limiting.purses(known, KEY, "m", over_us - 1) == (day,)
    (after,) = limiting.purses(known, KEY, "m", over_us)
    assert after.name != day.name
    used_up = Slice(day)
    used_up.settle(0, LIMIT)
    assert used_up.wait_us(1, over_us - 1, 0) == 1
    assert used_up.wait_us(LIMIT + 1, over_us - 1, 0) is None
