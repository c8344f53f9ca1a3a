"""Throughput: what reservations cost, and when they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from steelyard.catalogue.items.kinds import Throughput
from steelyard.rating.periods.held import held
from steelyard.rating.periods.told import HOUR_US, Due, Span, Told
from steelyard.values import periods
from steelyard.values.events import Event

INPUT, OUTPUT, DAYS = "input_tpm", "output_tpm", "days"
"""What the event says that a reservation begins: tokens a minute, and for how many days."""


class Expiry(NamedTuple):
    """When a reservation ends, stops to be served at the latest, and is given up. Unit: µs."""

    ends_us: int
    stops_us: int
    released_us: int


def dues(item: Told[Throughput], span: Span) -> Iterator[Due]:
    """By the day: all days when they are ordered. By the hour: the hours of the month."""
    for event in item.events:
        ordered = event.what == "begun" and span.holds(event.at_us)
        sold = item.at(event.at_us)
        if ordered and sold is not None and sold.per == "day":
            yield from _lines(sold, event, event.at_us, event.id, event.units.get(DAYS, 1))
    for each in held(item, span):
        sold = item.at(each.at_us)
        if sold is not None and sold.per == "hour" and each.stretch.began is not None:
            yield from _lines(sold, each.stretch.began, each.at_us, each.occasion, each.hours)


def _lines(sold: Throughput, event: Event, at_us: int, occasion: str, times: int) -> Iterator[Due]:
    prices = ((INPUT, sold.input_pico), (OUTPUT, sold.output_pico))
    for counted, price_pico in prices:
        units = event.units.get(counted, 0) * times
        if units:
            yield Due(at_us, occasion, f"{counted}_{sold.per}s", units, price_pico, event.name)


def expiries(item: Told[Throughput]) -> Iterator[tuple[Event, Expiry]]:
    """When each reservation by the day ends: at midnight after its last day.

    One that is ordered late in the evening has a day more. One that is ordered under the name of
    another before that one is given up goes on where it ends.
    """
    running: dict[str, Expiry] = {}
    for event in item.events:
        sold = item.at(event.at_us)
        if event.what != "begun" or sold is None or sold.per != "day":
            continue
        days = timedelta(days=event.units.get(DAYS, 1))
        before = running.get(event.name)
        if before is not None and event.at_us < before.released_us:
            ends = periods.day_of(before.ends_us, item.zone) + days
        else:
            ends = periods.day_of(event.at_us, item.zone) + days
            if periods.from_us(event.at_us, item.zone).hour >= sold.late_hour:
                ends += timedelta(days=1)
        ends_us = periods.midnight_us(ends, item.zone)
        stops_us, released_us = ends_us + sold.stops_h * HOUR_US, ends_us + sold.keeps_h * HOUR_US
        running[event.name] = Expiry(ends_us, stops_us, released_us)
        yield event, running[event.name]
