"""Dedicated deployments: by the hour that they stand, or by the month ahead."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from steelyard.catalogue.items.kinds import Dedicated
from steelyard.rating.periods import told
from steelyard.rating.periods.held import held
from steelyard.rating.periods.told import Due, Span, Stretch, Told
from steelyard.values import money, periods

COUNT = "count"
"""What the event says that something begins to stand: how many."""

_THIRTY = 30


def dues(item: Told[Dedicated], span: Span) -> Iterator[Due]:
    """What is due of deployments in a month."""
    for each in held(item, span):
        sold, began = item.at(each.at_us), each.stretch.began
        if sold is not None and sold.per == "hour" and began is not None:
            units = began.units.get(COUNT, 1) * each.hours
            meter = "node_hours" if sold.unit == "node" else "unit_hours"
            yield Due(each.at_us, each.occasion, meter, units, sold.price_pico, began.name)
    for stretch in told.stretches(item.events):
        for due in _months(item, stretch, span.end_us):
            if span.holds(due.at_us):
                yield due


def _months(item: Told[Dedicated], stretch: Stretch, until_us: int) -> Iterator[Due]:
    """Months from the day on which it stands, each paid when it begins."""
    began = stretch.began
    if began is None:
        return
    begins = periods.day_of(stretch.begin_us, item.zone)
    units = began.units.get(COUNT, 1)
    for number in count():
        first = periods.months_later(begins, number)
        next_us = periods.midnight_us(periods.months_later(begins, number + 1), item.zone)
        start_us = periods.midnight_us(first, item.zone) if number else stretch.begin_us
        sold = item.at(start_us)
        ended = stretch.end_us is not None and number > 0 and stretch.end_us <= start_us
        if start_us >= until_us or ended or sold is None or sold.per != "month":
            return
        meter = f"{sold.unit}_months"
        due = Due(start_us, f"{began.id} {first}", meter, units, sold.price_pico, began.name)
        yield due
        early = stretch.end_us is not None and stretch.end_us < next_us and number == 0
        if early and sold.early_ppm is not None and stretch.end_us is not None:
            used = (periods.day_of(max(stretch.end_us - 1, start_us), item.zone) - begins).days + 1
            back = due._replace(at_us=stretch.end_us, occasion=f"{began.id} returned")
            yield back._replace(units=-units)
            day_pico = money.divide_half_even(
                sold.price_pico * sold.early_ppm, _THIRTY * money.PER_MILLION
            )
            yield back._replace(meter="unit_days", units=units * used, price_pico=day_pico)
