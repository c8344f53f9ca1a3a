"""Held: what is paid by the hour for as long as it stands, whether it is used or not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from steelyard.catalogue.items.kinds import Dedicated, Throughput, Training
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Span, Stretch, Told
from steelyard.values import periods


class Held(NamedTuple):
    """Hours for which something stood under one version of its item."""

    at_us: int
    occasion: str
    stretch: Stretch
    hours: int


def held(item: Told[Dedicated] | Told[Throughput] | Told[Training], span: Span) -> Iterator[Held]:
    """The hours of a month of all that stands in it, apart by version.

    An hour counts whole once it has begun, where it began: the hours of months that follow on each
    other sum to those of the whole stretch. Hours are 3,600 seconds, also on days of 23 or 25.
    """
    for stretch in told.stretches(item.events):
        if stretch.began is None or not stretch.began.units:
            continue
        first = max(stretch.begin_us, span.start_us)
        last = span.end_us if stretch.end_us is None else min(stretch.end_us, span.end_us)
        marks = [us for us, _ in item.versions if first < us < last]
        for start_us, end_us in pairwise([first, *marks, last]) if first < last else ():
            before = told.hours(stretch.begin_us, start_us)
            count = told.hours(stretch.begin_us, end_us) - before
            if count:
                day = periods.day_of(start_us, item.zone)
                yield Held(start_us, f"{stretch.began.id} {day}", stretch, count)
