"""Quotas: how much of a grant there is for a call, and what a call leaves of it for the next.

A window that rolls is counted in stretches: minutes, or the sixtieths of some hours. Of hours, the
whole stretch in which the window begins is counted too: so never more than the quota is used in any
such hours, in whatever order calls are booked, and what was used comes back within a sixtieth after
its time. A stretch is remembered
for as long as a call that is booked late by as much as the window (by an hour, of minutes) can look
back on it, and is zero afterwards, which is as good as gone; a call later than that counts in the
oldest stretch from which all is known.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from steelyard.catalogue.documents import Grant, Quota
from steelyard.rating import counting
from steelyard.rating.counting import COUNTER_MAX, Counter
from steelyard.values import periods
from steelyard.values.periods import Month

MINUTE_US = 60_000_000
STRETCHES = 60
"""Of how many stretches a window of hours is made."""
_DAY = timedelta(days=1)
_KEPT = 1 << 16


class Holder(NamedTuple):
    """Whose quota: that of a call. Unit: ``at_us`` is when it counts, µs since 1970."""

    contract: str
    model: str
    zone: str
    period: Month
    at_us: int


class _Rolling(NamedTuple):
    """How a window rolls: how long a stretch is, and on how many before its own a call looks."""

    stretch_us: int
    back: int


def quotas_of(grant: Grant) -> tuple[Quota, ...]:
    """All quotas of a grant, which hold at once."""
    return grant.quotas or (Quota(name="", size=grant.size, per=grant.every or "once"),)


def left(grant: Grant, quota: Quota, holder: Holder, counters: Mapping[Counter, int]) -> int:
    """How much of a quota there is for a call; nothing, where more was used. Unit: parts."""
    rolling = _rolling(quota.per)
    if rolling is None:
        return max(quota.size - counters.get(key(grant, quota, holder), 0), 0)
    window = _window(grant, quota, holder)
    newest = counters.get(window, 0)
    place = _place(holder, rolling, newest)
    return max(quota.size - _used(window, rolling, newest, place, counters), 0)


def use(
    grant: Grant, quota: Quota, holder: Holder, parts: int, counters: MutableMapping[Counter, int]
) -> None:
    """Count what a call has used of a quota. Unit: parts."""
    rolling = _rolling(quota.per)
    if rolling is None:
        used = key(grant, quota, holder)
        counters[used] = min(counters.get(used, 0) + parts, COUNTER_MAX)
        return
    window = _window(grant, quota, holder)
    newest = counters.get(window, 0)
    place = _place(holder, rolling, newest)
    if place > newest:
        counters[_total(window)] = _used(window, rolling, newest, place, counters)
        counters[window] = place
        _forget(window, rolling, newest, place, counters)
    if place >= newest - rolling.back:
        total = _total(window)
        counters[total] = min(counters.get(total, 0) + parts, COUNTER_MAX)
    stretch = _stretch(window, place, rolling.stretch_us)
    counters[stretch] = min(counters.get(stretch, 0) + parts, COUNTER_MAX)


def key(grant: Grant, quota: Quota, holder: Holder) -> Counter:
    """Under what is counted what was used of a quota; of one that rolls, its newest stretch.

    A period of days is named by its last one: that is how long it matters.
    """
    if _rolling(quota.per) is not None:
        return _window(grant, quota, holder)
    found = counting.of_grant(holder.contract, grant, holder.model, holder.period)
    if quota.per == "month":
        return found._replace(meter=quota.name, period=str(holder.period))
    if quota.per == "once":
        return found._replace(meter=quota.name, period="")
    _, last = days_of(grant.since, quota.per, holder.zone, holder.at_us)
    return found._replace(meter=quota.name, period=last.isoformat())


def returns_us(
    grant: Grant, quota: Quota, holder: Holder, need: int, counters: Mapping[Counter, int]
) -> int | None:
    """When there will be so much of a quota, if nothing is used meanwhile; None: never.

    Unit: parts; µs since 1970.
    """
    room = left(grant, quota, holder, counters)
    if room >= need:
        return holder.at_us
    rolling = _rolling(quota.per)
    if need > quota.size or quota.per == "once":
        return None
    if rolling is None:
        _, last = days_of(grant.since, quota.per, holder.zone, holder.at_us)
        return periods.midnight_us(last + _DAY, holder.zone)
    window = _window(grant, quota, holder)
    place = _place(holder, rolling, counters.get(window, 0))
    used = quota.size - need + 1
    for each in range(place, place - rolling.back - 1, -1):
        used -= counters.get(_stretch(window, each, rolling.stretch_us), 0)
        if used <= 0:
            return (each + rolling.back + 1) * rolling.stretch_us
    return holder.at_us


def days_of(since: str, per: str, zone: str, at_us: int) -> tuple[date, date]:
    """The first and the last day of a calendar month, or a cycle or week counted from a day."""
    return _span(since, per, periods.from_us(at_us, zone).date())


@lru_cache(_KEPT)
def _span(since: str, per: str, day: date) -> tuple[date, date]:
    first = date.fromisoformat(since)
    if per == "month":
        first = first.replace(day=1)
    span = periods.week_of if per == "week" else periods.cycle_of
    start, after = span(first, day)
    return start, after - _DAY


@lru_cache(_KEPT)
def _rolling(per: str) -> _Rolling | None:
    if per == "minute":
        return _Rolling(MINUTE_US, 0)
    if per[:-1].isdecimal():
        return _Rolling(int(per[:-1]) * MINUTE_US, STRETCHES)
    return None


def _window(grant: Grant, quota: Quota, holder: Holder) -> Counter:
    """Under what the newest stretch is kept in which something was used."""
    return _named(holder.contract, grant.id, "" if grant.shared else holder.model, quota.name)


@lru_cache(_KEPT)
def _named(contract: str, grant: str, model: str, quota: str) -> Counter:
    return Counter(contract, f"grant {grant}", model, quota, "")


@lru_cache(_KEPT)
def _total(window: Counter) -> Counter:
    """Under what is kept what was used in all, in the newest stretch and those it looks back on."""
    return window._replace(meter=f"{window.meter} in all")


@lru_cache(_KEPT)
def _stretch(window: Counter, place: int, stretch_us: int) -> Counter:
    """Under what is counted what was used in a stretch: it is named by its beginning in UTC."""
    start = periods.from_us(place * stretch_us)
    return window._replace(meter=f"{window.meter} {start:%Y-%m-%dT%H:%M}Z")


def _place(holder: Holder, rolling: _Rolling, newest: int) -> int:
    """The stretch in which a call counts."""
    return max(holder.at_us // rolling.stretch_us, newest - STRETCHES)


def _used(
    window: Counter, rolling: _Rolling, newest: int, place: int, counters: Mapping[Counter, int]
) -> int:
    """What was used in a stretch and in those on which it looks back. Unit: parts.

    A call that is booked late is in later windows, too: then it is the fullest of them.
    """

    def used(first: int, last: int) -> list[int]:
        stretches = range(first, last + 1)
        return [counters.get(_stretch(window, n, rolling.stretch_us), 0) for n in stretches]

    first = place - rolling.back
    if not newest or first > newest:
        return 0
    if place >= newest:
        return counters.get(_total(window), 0) - sum(used(newest - rolling.back, first - 1))
    known = used(first, min(newest, place + rolling.back))
    fullest = found = sum(known[: rolling.back + 1])
    for out, into in zip(known, known[rolling.back + 1 :], strict=False):
        found += into - out
        fullest = max(fullest, found)
    return fullest


def _forget(
    window: Counter,
    rolling: _Rolling,
    newest: int,
    place: int,
    counters: MutableMapping[Counter, int],
) -> None:
    """Forget the stretches on which no call can look back once there is one in ``place``."""
    kept = rolling.back + STRETCHES
    for each in range(newest - kept, min(place - kept, newest + 1)) if newest else ():
        old = _stretch(window, each, rolling.stretch_us)
        if counters.get(old):
            counters[old] = 0
