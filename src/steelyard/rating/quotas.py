"""Quotas: how much of a grant there is for a call, and what a call leaves of it for the next.

A window that rolls is counted in stretches: minutes, or the sixtieths of some hours. Of hours, the
whole stretch in which the window begins is counted too: so never more than the quota is used in any
such hours, and what was used comes back within a sixtieth after its time. A stretch is remembered
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
    place = _place(grant, quota, holder, rolling, counters)
    used = sum(
        counters.get(_stretch(_newest(grant, quota, holder), each, rolling.stretch_us), 0)
        for each in range(place - rolling.back, place + 1)
    )
    return max(quota.size - used, 0)


def use(
    grant: Grant, quota: Quota, holder: Holder, parts: int, counters: MutableMapping[Counter, int]
) -> None:
    """Count what a call has used of a quota. Unit: parts."""
    rolling = _rolling(quota.per)
    if rolling is None:
        used = key(grant, quota, holder)
    else:
        place = _place(grant, quota, holder, rolling, counters)
        _forget(grant, quota, holder, rolling, place, counters)
        used = _stretch(_newest(grant, quota, holder), place, rolling.stretch_us)
    counters[used] = min(counters.get(used, 0) + parts, COUNTER_MAX)


def key(grant: Grant, quota: Quota, holder: Holder) -> Counter:
    """Under what is counted what was used of a quota that does not roll.

    A period of days is named by its last one: that is how long it matters.
    """
    found = counting.of_grant(holder.contract, grant, holder.model, holder.period)
    if quota.per == "month":
        return found._replace(meter=quota.name, period=str(holder.period))
    if quota.per == "once":
        return found._replace(meter=quota.name, period="")
    _, last = days_of(grant.since, quota.per, holder.zone, holder.at_us)
    return found._replace(meter=quota.name, period=last.isoformat())


def days_of(since: str, per: str, zone: str, at_us: int) -> tuple[date, date]:
    """The first and the last day of a cycle or a week that is counted from a day."""
    span = periods.cycle_of if per == "cycle" else periods.week_of
    start, after = span(date.fromisoformat(since), periods.from_us(at_us, zone).date())
    return start, after - _DAY


@lru_cache(_KEPT)
def _rolling(per: str) -> _Rolling | None:
    if per == "minute":
        return _Rolling(MINUTE_US, 0)
    if per[:-1].isdecimal():
        return _Rolling(int(per[:-1]) * MINUTE_US, STRETCHES)
    return None


def _newest(grant: Grant, quota: Quota, holder: Holder) -> Counter:
    """Under what the newest stretch is kept in which something was used."""
    model = "" if grant.shared else holder.model
    return Counter(holder.contract, f"grant {grant.id}", model, quota.name, "")


@lru_cache(_KEPT)
def _stretch(newest: Counter, place: int, stretch_us: int) -> Counter:
    """Under what is counted what was used in a stretch: it is named by its beginning in UTC."""
    start = periods.from_us(place * stretch_us)
    return newest._replace(meter=f"{newest.meter} {start:%Y-%m-%dT%H:%M}Z")


def _place(
    grant: Grant,
    quota: Quota,
    holder: Holder,
    rolling: _Rolling,
    counters: Mapping[Counter, int],
) -> int:
    """The stretch in which a call counts."""
    newest = counters.get(_newest(grant, quota, holder), 0)
    return max(holder.at_us // rolling.stretch_us, newest - STRETCHES)


def _forget(
    grant: Grant,
    quota: Quota,
    holder: Holder,
    rolling: _Rolling,
    place: int,
    counters: MutableMapping[Counter, int],
) -> None:
    """Forget the stretches on which no call can look back once there is one in ``place``."""
    name = _newest(grant, quota, holder)
    newest, kept = counters.get(name, 0), rolling.back + STRETCHES
    if newest >= place:
        return
    counters[name] = place
    for each in range(newest - kept, min(place - kept, newest + 1)) if newest else ():
        old = _stretch(name, each, rolling.stretch_us)
        if counters.get(old):
            counters[old] = 0
