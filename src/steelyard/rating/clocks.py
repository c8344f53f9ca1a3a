"""Clocks: what the wall clock of a zone reads at many instants, and what follows from it."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from steelyard.catalogue.offers import Peak
from steelyard.rating.calendar import MINUTE_US, is_among
from steelyard.values import periods
from steelyard.values.periods import Month, Per

Ints = npt.NDArray[np.int64]

DAY_MINUTES = 1440
_HOUR_MINUTES = 60
_MINUTE_S = 60
_MONTHS = 12
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def minutes(at_us: Ints, zone: str) -> Ints:
    """The wall clock's reading, to the minute. Unit: minutes since 1970-01-01 00:00 of that clock.

    It is read in the minute of UTC that holds the instant.
    """
    minute = at_us // MINUTE_US
    if not len(minute):
        return minute
    hour = minute // _HOUR_MINUTES
    first = int(hour.min())
    seen = np.zeros(int(hour.max()) - first + 1, dtype=np.bool_)
    seen[hour - first] = True
    offset_s = np.zeros(len(seen), dtype=np.int64)
    turning: list[int] = []
    for each in np.flatnonzero(seen).tolist():
        start, end = ((first + each + more) * _HOUR_MINUTES for more in (0, 1))
        offset_s[each] = _offset_s(start, zone)
        if offset_s[each] != _offset_s(end, zone):
            turning.append(first + each)
    local = (minute * _MINUTE_S + offset_s[hour - first]) // _MINUTE_S
    for each in turning:
        rows = np.flatnonzero(hour == each)
        found, place = np.unique(minute[rows], return_inverse=True)
        read = [(m * _MINUTE_S + _offset_s(m, zone)) // _MINUTE_S for m in found.tolist()]
        local[rows] = np.array(read, dtype=np.int64)[place]
    return local


@lru_cache(maxsize=1 << 16)
def _offset_s(minute: int, zone: str) -> int:
    """How far a zone is ahead of UTC in a minute. Unit: seconds."""
    offset = periods.from_us(minute * MINUTE_US, zone).utcoffset()
    assert offset is not None
    return offset.days * DAY_MINUTES * _MINUTE_S + offset.seconds


def months(at_us: Ints, zone: str) -> Ints:
    """The month that holds each instant, counted from the year 0."""
    first = number_of(periods.month_of(int(at_us.min()), zone))
    last = number_of(periods.month_of(int(at_us.max()), zone))
    starts = [periods.bounds_us(month_of(each), zone)[0] for each in range(first, last + 1)]
    return first - 1 + np.searchsorted(starts, at_us, side="right")


def number_of(period: Month) -> int:
    """A month's number, counted from the year 0."""
    return period.year * _MONTHS + period.month - 1


def month_of(number: int) -> Month:
    """The month of a number."""
    return Month(number // _MONTHS, number % _MONTHS + 1)


def periods_of(
    per: Per, at_us: Ints, zone: str, first_open: Month | None
) -> tuple[Ints, list[str]]:
    """The period that each call counts in: a place among names, and the names.

    A call of a closed month counts in the first open one.
    """
    if first_open is not None:
        at_us = np.maximum(at_us, periods.bounds_us(first_open, zone)[0])
    by_day = per in {"day", "week"}
    number = minutes(at_us, zone) // DAY_MINUTES if by_day else months(at_us, zone)
    first = int(number.min())
    code = number - first
    found = np.flatnonzero(np.bincount(code))
    names = [
        periods.day_named(per, date.fromordinal(_EPOCH_DAY + first + each))
        if by_day
        else periods.month_named(per, month_of(first + each))
        for each in found.tolist()
    ]
    place = np.zeros(int(code.max()) + 1, dtype=np.int64)
    place[found] = np.arange(len(found))
    return place[code], names


def holding(peak: Peak, at_us: Ints) -> npt.NDArray[np.bool_]:
    """Which of many instants a window holds at: ``holds``, asked of each day once."""
    local = minutes(at_us, peak.window.zone)
    if not len(local):
        return np.zeros(0, dtype=np.bool_)
    today = local // DAY_MINUTES
    minute = local - today * DAY_MINUTES
    # The day before the first one may reach into it, over midnight.
    first = int(today.min()) - 1
    days = [date.fromordinal(_EPOCH_DAY + each) for each in range(first, int(today.max()) + 1)]
    among = np.array([is_among(peak, d.isoformat(), d.weekday()) for d in days], dtype=np.bool_)
    place = today - first
    held = np.zeros(len(local), dtype=np.bool_)
    for begin, end in peak.window.hours:
        if begin < end:
            held |= (minute >= begin) & (minute < end) & among[place]
        else:
            held |= (minute >= begin) & among[place]
            held |= (minute < end) & among[place - 1]
    return held
