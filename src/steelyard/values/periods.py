"""Periods: calendar months and days in a zone, as half-open ranges of instants."""

from __future__ import annotations

import calendar
import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_DECEMBER = 12
_QUARTER = 3
_WEEK_DAYS = 7
_HOUR_US = 3_600_000_000

Per = Literal["day", "week", "month", "quarter", "year"]
"""How long something is counted before it begins anew: of the calendar, weeks from Monday."""

Span = Literal["hour", "day", "week", "month", "quarter"]
"""A part of the calendar, from its first instant on; weeks begin on Monday."""


class PeriodError(ValueError):
    """A text that names no period."""


class Month(msgspec.Struct, frozen=True, order=True):
    """A calendar month, ``2026-11``; which instants it holds depends on a zone."""

    year: int
    month: int

    def __str__(self) -> str:
        """``2026-11``."""
        return f"{self.year:04d}-{self.month:02d}"


def month(text: str) -> Month:
    """Parse ``2026-11``.

    Raises: PeriodError.
    """
    match = _MONTH.fullmatch(text)
    if match is None:
        msg = f"{text!r} is no month; write it like 2026-11"
        raise PeriodError(msg)
    return Month(int(match.group(1)), int(match.group(2)))


def following(period: Month) -> Month:
    """The month after."""
    if period.month == _DECEMBER:
        return Month(period.year + 1, 1)
    return Month(period.year, period.month + 1)


def preceding(period: Month) -> Month:
    """The month before."""
    if period.month == 1:
        return Month(period.year - 1, _DECEMBER)
    return Month(period.year, period.month - 1)


def months_between(first: Month, last: Month) -> int:
    """How many months one is after another; negative when it is before."""
    return (last.year - first.year) * _DECEMBER + last.month - first.month


def months_later(day: date, months: int) -> date:
    """The same day of another month, or its last one where the month is shorter."""
    number = day.year * _DECEMBER + day.month - 1 + months
    year, month = number // _DECEMBER, number % _DECEMBER + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def midnight_us(day: date, zone: str) -> int:
    """The first instant of a day in ``zone``."""
    return _midnight_us(day, ZoneInfo(zone))


def day_of(at_us: int, zone: str) -> date:
    """The day of ``zone`` that holds an instant."""
    start, _ = day_bounds_us(at_us, zone)
    return from_us(start, zone).date()


def to_us(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970-01-01 UTC, exactly."""
    assert moment.tzinfo is not None
    return (moment - _EPOCH) // _MICROSECOND


def from_us(at_us: int, zone: str = "UTC") -> datetime:
    """An instant as an aware datetime in ``zone``."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(zone))


def bounds_us(period: Month, zone: str) -> tuple[int, int]:
    """The first instant of the month in ``zone``, and the first one after it."""
    after = following(period)
    where = ZoneInfo(zone)
    start = datetime(period.year, period.month, 1, tzinfo=where)
    end = datetime(after.year, after.month, 1, tzinfo=where)
    return to_us(start), to_us(end)


def month_of(at_us: int, zone: str) -> Month:
    """The month whose bounds in ``zone`` hold an instant.

    Where a clock was set back across the first midnight of a month, that month began at the first
    of the two midnights.
    """
    local = from_us(at_us, zone)
    read = Month(local.year, local.month)
    after = following(read)
    return after if at_us >= bounds_us(read, zone)[1] else read


def named(per: Per, at_us: int, zone: str) -> str:
    """The period that holds an instant, named by its last day or month, so that names sort.

    ``2026-11-05``, ``2026-11-08 week``, ``2026-11``, ``2026-12 quarter``, ``2026-12 year``. Days
    and weeks are those that the wall clock reads.
    """
    if per in {"day", "week"}:
        return day_named(per, from_us(at_us, zone).date())
    return month_named(per, month_of(at_us, zone))


def day_named(per: Per, day: date) -> str:
    """The name of a day, or of the week that it is in."""
    if per == "day":
        return day.isoformat()
    return f"{day + (6 - day.weekday()) * _DAY:%Y-%m-%d} week"


def month_named(per: Per, period: Month) -> str:
    """The name of a month, or of the quarter or year that it is in."""
    if per == "month":
        return str(period)
    if per == "year":
        return f"{Month(period.year, _DECEMBER)} year"
    return f"{Month(period.year, -(-period.month // _QUARTER) * _QUARTER)} quarter"


def day_bounds_us(at_us: int, zone: str) -> tuple[int, int]:
    """The calendar day of ``zone`` that holds an instant: its first instant, and the next day's.

    A day lasts 23, 24 or 25 hours. Where a clock is set back across midnight, the new day begins
    at the first of the two midnights; where it is set forward across midnight, at that moment.
    """
    where = ZoneInfo(zone)
    local = from_us(at_us, zone).date()
    start, end = _midnight_us(local, where), _midnight_us(local + _DAY, where)
    if at_us >= end:
        return end, _midnight_us(local + 2 * _DAY, where)
    return start, end


def _midnight_us(day: date, where: ZoneInfo) -> int:
    return to_us(datetime(day.year, day.month, day.day, tzinfo=where))


def cycle_of(first: date, day: date) -> tuple[date, date]:
    """The month, counted from a first day, that holds a day: its first day, and the next one's.

    One that is counted from the 31st begins on the last day of a shorter month.
    """
    passed = (day.year - first.year) * _DECEMBER + day.month - first.month
    if day < _months_after(first, passed):
        passed -= 1
    return _months_after(first, passed), _months_after(first, passed + 1)


def week_of(first: date, day: date) -> tuple[date, date]:
    """The seven days, counted from a first day, that hold a day, as in ``cycle_of``."""
    start = day - timedelta(days=(day - first).days % _WEEK_DAYS)
    return start, start + timedelta(days=_WEEK_DAYS)


def _months_after(first: date, count: int) -> date:
    year, month = divmod(first.year * _DECEMBER + first.month - 1 + count, _DECEMBER)
    return date(year, month + 1, min(first.day, monthrange(year, month + 1)[1]))


def span_bounds_us(span: Span, at_us: int, zone: str, first_month: int = 1) -> tuple[int, int]:
    """The part of a zone's calendar that holds an instant: its first instant, the next one's.

    An hour begins with the full hour of the wall clock, and lasts sixty minutes. ``first_month`` is
    the one in which the fiscal year begins, whose quarters are counted.
    """
    if span == "day":
        return day_bounds_us(at_us, zone)
    local = from_us(at_us, zone)
    if span == "hour":
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start_us = at_us - past // _MICROSECOND
        return start_us, start_us + _HOUR_US
    where, day = ZoneInfo(zone), local.date()
    if span == "week":
        first = day - timedelta(days=day.weekday())
        following_day = first + timedelta(days=_WEEK_DAYS)
    else:
        months = 1 if span == "month" else _QUARTER
        into = 0 if span == "month" else (day.month - first_month) % _QUARTER
        first = months_later(day.replace(day=1), -into)
        following_day = months_later(first, months)
    start_us, end_us = _midnight_us(first, where), _midnight_us(following_day, where)
    if at_us >= end_us:
        # The clock was set back across the midnight with which the next one has begun.
        return span_bounds_us(span, at_us + _HOUR_US, zone, first_month)
    return start_us, end_us
