"""Service levels: what is given back for a month in which the service was worse."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from steelyard.catalogue.items.kinds import ServiceLevel, Step
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Charged, Due, Span, Told, Used
from steelyard.values import money

PPM, MS = "ppm", "ms"
"""What an event says that measures: parts per million of availability, or milliseconds."""


def dues(item: Told[ServiceLevel], span: Span, used: Used) -> Iterator[Due]:
    """A credit for a month, by the last measure that was reported of it; nothing when all is well.

    It is a part of what the month charged, in whole coins, half to even.
    """
    level = item.at(span.start_us)
    measured = [each for each in item.events if each.what == "measured" and span.holds(each.at_us)]
    if level is None or not measured:
        return
    step = worst(level, measured[-1].units)
    if step is None:
        return
    charged_pico = sum(
        each.amount_pico
        for each in used(span.month, span.start_us, span.end_us)
        if any(_counts(each, pattern) for pattern in level.counts)
    )
    credit_pico = money.to_coin(charged_pico * step.credit_ppm, money.PER_MILLION, item.currency)
    if credit_pico > 0:
        due = Due(span.end_us - 1, f"{span.month}", "service_credits", 1, 0)
        yield from told.amount(due, -credit_pico)


def _counts(charged: Charged, pattern: str) -> bool:
    """Calls count by the pattern of their model, an item only if it is named."""
    if charged.by_call:
        return fnmatchcase(charged.model, pattern)
    return charged.model.partition(":")[0] == pattern


def worst(level: ServiceLevel, units: dict[str, int]) -> Step | None:
    """The last of the steps that a measure is beyond; None when it is as good as was promised."""
    found: Step | None = None
    for step in level.steps:
        if level.measure == "availability":
            beyond = PPM in units and units[PPM] < step.beyond
        else:
            beyond = MS in units and units[MS] > step.beyond
        if beyond:
            found = step
    return found
