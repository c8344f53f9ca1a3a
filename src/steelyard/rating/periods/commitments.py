"""Commitments: what a term is short of what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from fnmatch import fnmatchcase

from steelyard.catalogue.items.kinds import Commitment
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Due, Span, Told, Used
from steelyard.values import periods
from steelyard.values.periods import Month


def dues(item: Told[Commitment], span: Span, used: Used) -> Iterator[Due]:
    """The shortfall of the term that ends with a month; nothing when there is none."""
    promised = item.at(span.start_us)
    if promised is None:
        return
    months = _term(promised, span.month)
    if not months:
        return
    first = f"{months[0]}-01"
    amount_pico = max(
        (each for each in promised.phases if each.since <= first), key=lambda each: each.since
    ).amount_pico
    for month in months:
        for charged in used(month, *periods.bounds_us(month, item.zone)):
            if any(fnmatchcase(charged.model, pattern) for pattern in promised.counts):
                amount_pico -= charged.amount_pico
    if amount_pico > 0:
        due = Due(span.end_us - 1, f"{months[0]}", "shortfalls", 1, 0)
        yield from told.amount(due, amount_pico)


def _term(promised: Commitment, month: Month) -> list[Month]:
    """The months of the term that ends with a month; none when no term does."""
    since = date.fromisoformat(promised.phases[0].since)
    number = periods.months_between(Month(since.year, since.month), month)
    if number < 0 or (number + 1) % promised.months:
        return []
    if promised.until is not None and f"{month}-01" >= promised.until:
        return []
    first = periods.months_later(date(month.year, month.month, 1), 1 - promised.months)
    days = (periods.months_later(first, each) for each in range(promised.months))
    return [Month(day.year, day.month) for day in days]
