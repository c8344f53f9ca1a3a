"""Months, as the contract's own zone sees them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.values import periods


def us(text: str) -> int:
    return periods.to_us(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("instant", "zone", "month"),
    [
        ("2026-10-31T15:59:59.999999+00:00", "Asia/Shanghai", "2026-10"),
        ("2026-10-31T16:00:00+00:00", "Asia/Shanghai", "2026-11"),
        ("2026-10-31T16:00:00+00:00", "UTC", "2026-10"),
        ("2024-02-29T23:30:00+00:00", "UTC", "2024-02"),
        ("2024-03-01T04:59:59+00:00", "America/New_York", "2024-02"),
        ("2026-11-01T03:59:59+00:00", "America/New_York", "2026-10"),
        ("2026-12-31T23:59:59+00:00", "UTC", "2026-12"),
        # At 00:01 of November the clock went back to 23:01: October did not begin again.
        ("2009-11-01T02:29:59+00:00", "America/St_Johns", "2009-10"),
        ("2009-11-01T02:30:00+00:00", "America/St_Johns", "2009-11"),
        ("2009-11-01T02:45:00+00:00", "America/St_Johns", "2009-11"),
    ],
)
def test_an_instant_falls_into_the_month_of_the_zone(instant: str, zone: str, month: str) -> None:
    assert str(periods.month_of(us(instant), zone)) == month


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        ("2026-11", "Asia/Shanghai", 720),
        ("2026-03", "Europe/Berlin", 743),  # the night of 23 hours
        ("2026-10", "Europe/Berlin", 745),  # the night of 25 hours
        ("2024-02", "UTC", 696),  # leap year
        ("2026-12", "UTC", 744),
    ],
)
def test_a_month_is_as_long_as_its_zone_makes_it(month: str, zone: str, hours: int) -> None:
    start, end = periods.bounds_us(periods.month(month), zone)
    assert end - start == hours * 3_600_000_000


@given(
    st.integers(0, 4_000_000_000_000_000),
    st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York"]),
)
def test_every_instant_lies_within_the_bounds_of_its_month(at_us: int, zone: str) -> None:
    start, end = periods.bounds_us(periods.month_of(at_us, zone), zone)
    assert start <= at_us < end


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-11-01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(periods.PeriodError):
        periods.month(text)


def test_months_follow_each_other_across_the_year() -> None:
    assert str(periods.following(periods.month("2026-12"))) == "2027-01"
    assert periods.month("2026-12") < periods.month("2027-01")


def test_microseconds_read_back() -> None:
    moment = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=UTC)
    assert periods.from_us(periods.to_us(moment)) == moment


@given(
    st.integers(0, 4_000_000_000_000_000),
    st.sampled_from(["Asia/Shanghai", "America/Santiago", "America/St_Johns", "Africa/Cairo"]),
)
def test_days_follow_each_other_without_a_gap(at_us: int, zone: str) -> None:
    start, end = periods.day_bounds_us(at_us, zone)
    assert start <= at_us < end
    assert 22 * 3_600_000_000 < end - start < 26 * 3_600_000_000
    assert periods.day_bounds_us(start, zone) == (start, end)
    assert periods.day_bounds_us(end - 1, zone) == (start, end)
    assert periods.day_bounds_us(end, zone)[0] == end


def test_where_a_clock_goes_back_across_midnight_the_day_does_not_begin_again() -> None:
    """In Newfoundland it went back from 00:01 to 23:01: the first midnight counts."""
    start, end = periods.day_bounds_us(us("2009-11-01T02:45:00+00:00"), "America/St_Johns")
    assert (start, end) == (us("2009-11-01T00:00:00-02:30"), us("2009-11-02T00:00:00-03:30"))
