"""Calendars: which window of an offer holds at a call, by the wall clock of the window's zone.

The minute (of UTC) in which the call begins or ends decides. Where clocks are set back, an hour
that is read twice is in the window both times; where they are put forward, what is skipped is in
none.
"""

from __future__ import annotations

from datetime import timedelta

from steelyard.catalogue.offers import Offer, Peak
from steelyard.values import periods

MINUTE_US = 60_000_000
_MINUTES = 60
_DAY = timedelta(days=1)


def peak_of(offer: Offer, start_us: int, end_us: int) -> int | None:
    """The place of the first window that holds at a call; None when none does."""
    for place, peak in enumerate(offer.peaks):
        if holds(peak, end_us if peak.window.by == "end" else start_us):
            return place
    return None


def holds(peak: Peak, at_us: int) -> bool:
    """Whether a window holds at an instant."""
    local = periods.from_us(at_us - at_us % MINUTE_US, peak.window.zone)
    minute = local.hour * _MINUTES + local.minute
    today = local.date()
    for first, last in peak.window.hours:
        if first < last:
            day = today if first <= minute < last else None
        elif minute >= first:
            day = today
        else:
            day = today - _DAY if minute < last else None
        if day is not None and is_among(peak, day.isoformat(), day.weekday()):
            return True
    return False


def is_among(peak: Peak, day: str, weekday: int) -> bool:
    """Whether a window is open on a day."""
    if day in peak.worked:
        return True
    return weekday in peak.window.days and day not in peak.off
