"""Purses: what a call would draw on, who is refused, and what is left when a period is over.

It is told before a call by its worst case, and after a period by what was counted; nothing here
changes a counter.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple, cast

import msgspec

from steelyard.catalogue.documents import Grant, Quota
from steelyard.rating import covering, quotas
from steelyard.rating.counting import Counter
from steelyard.rating.covering import Call
from steelyard.rating.quotas import Holder
from steelyard.values import periods

_DAY = timedelta(days=1)


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks of one quota of a grant. Unit: parts, of which ``scale`` are one; µs.

    Calls that draw on the same have the same ``name``. ``need`` is what all that is left of the
    call would use when the grant's turn comes. ``until_us`` is when that is there; None: never.
    """

    grant: str
    name: Counter
    scale: int
    size: int
    left: int
    need: int
    stops: bool
    until_us: int | None


class Drawn(NamedTuple):
    """The draws of a call in the order of cover, and the grant for which it is to be refused."""

    draws: tuple[Draw, ...]
    refused: Grant | None
    until_us: int | None
    """When a call that is refused may be made again; None: what is used up does not come back."""


class Breakage(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a quota at its end, and expires. Unit: parts, of which ``scale`` are one.

    ``since`` and ``until`` are its days, the last not included. ``model`` is empty where all models
    share it.
    """

    contract: str
    grant: str
    quota: str
    model: str
    since: str
    until: str
    scale: int
    size: int
    used: int
    left: int


def draws(
    call: Call, grants: Sequence[Grant], priced: Sequence[str], counters: Mapping[Counter, int]
) -> Drawn:
    """What a call would draw on, in which order, and whether something that stops is used up.

    A call is refused for the first grant that stops, is for this call, and whose meters the grants
    do not cover to the end, all together. What money would pay does not matter: that is what
    stopping is for.
    """
    before = cast("MutableMapping[Counter, int]", counters)
    standing: MutableMapping[Counter, int] = ChainMap({}, before)
    rest = {meter: call.meters.get(meter, 0) for meter in priced}
    found: list[Draw] = []
    for grant in grants:
        if grant.gives == "money" or not covering.eligible(grant, call):
            continue
        needs = covering.needs(grant, call, rest)
        found += _draws(grant, call.holder, needs, standing)
        for meter, units in covering.draw(grant, call, rest, standing).items():
            rest[meter] -= units
    for grant in grants:
        if grant.used_up == "stop" and any(
            covering.needs(grant, call, rest) if covering.eligible(grant, call) else ()
        ):
            mine = [each for each in found if each.grant == grant.id and each.left < each.need]
            ends = [each.until_us for each in mine]
            until_us = None if None in ends else max(filter(None, ends), default=None)
            return Drawn(tuple(found), grant, until_us)
    return Drawn(tuple(found), None, None)


def _draws(
    grant: Grant, holder: Holder, needs: Sequence[int], counters: Mapping[Counter, int]
) -> Iterator[Draw]:
    for quota, need in zip(quotas.quotas_of(grant), needs, strict=True):
        if need:
            yield Draw(
                grant=grant.id,
                name=quotas.key(grant, quota, holder),
                scale=grant.scale,
                size=quota.size,
                left=quotas.left(grant, quota, holder, counters),
                need=need,
                stops=grant.used_up == "stop",
                until_us=quotas.returns_us(grant, quota, holder, need, counters),
            )


def breakage(
    contract: str, grant: Grant, counters: Mapping[Counter, int], at_us: int, zone: str
) -> tuple[Breakage, ...]:
    """What expired of a grant: at its end, and of each window of days at the last one's end.

    ``at_us`` is the end, or any instant after it (of windows: before the next one). Hours that
    roll leave nothing behind. A model of its own that never drew on a grant has none of it.
    """
    found: list[Breakage] = []
    for quota in quotas.quotas_of(grant):
        span = _ended(grant, quota, at_us, zone)
        if span is None:
            continue
        first, after = span
        for holder in _holders(contract, grant, quota, counters, (first, zone)):
            used = counters.get(quotas.key(grant, quota, holder), 0)
            found.append(
                Breakage(
                    contract=contract,
                    grant=grant.id,
                    quota=quota.name,
                    model="" if grant.shared else holder.model,
                    since=first.isoformat(),
                    until=after.isoformat(),
                    scale=grant.scale,
                    size=quota.size,
                    used=used,
                    left=max(quota.size - used, 0),
                )
            )
    return tuple(found)


def _ended(grant: Grant, quota: Quota, at_us: int, zone: str) -> tuple[date, date] | None:
    """The days of the window of a quota that ended last, the last day not included."""
    over = grant.until_us is not None and grant.until_us <= at_us
    since = date.fromisoformat(grant.backdated or grant.since)
    if quota.per == "once":
        until = date.fromisoformat(grant.until) if over and grant.until else None
        return None if until is None else (since, until)
    if quota.per not in {"month", "cycle", "week"}:
        return None
    if over and grant.until:
        last = date.fromisoformat(grant.until) - _DAY
        first, end = quotas.days_of(grant.since, quota.per, zone, periods.midnight_us(last, zone))
        return first, min(end + _DAY, last + _DAY)
    start, _ = quotas.days_of(grant.since, quota.per, zone, at_us)
    if start <= since:
        return None
    first, end = quotas.days_of(
        grant.since, quota.per, zone, periods.midnight_us(start - _DAY, zone)
    )
    return first, end + _DAY


def _holders(
    contract: str,
    grant: Grant,
    quota: Quota,
    counters: Mapping[Counter, int],
    since: tuple[date, str],
) -> list[Holder]:
    """Who has a quota of its own, as it was on its first day."""
    day, zone = since
    at_us = periods.midnight_us(day, zone)
    holder = Holder(contract, "", zone, periods.month_of(at_us, zone), at_us)
    if grant.shared:
        return [holder]
    name = quotas.key(grant, quota, holder)
    models = {
        key.model
        for key in counters
        if key._replace(model="", period="") == name._replace(model="", period="")
    }
    return [holder._replace(model=model) for model in sorted(models)]
