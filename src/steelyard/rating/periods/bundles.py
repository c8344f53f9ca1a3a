"""Bundles: a charge divided over those who earned it, whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from steelyard.catalogue.items.kinds import Bundle
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Charged, Due
from steelyard.values import money
from steelyard.values.meters import ALL_METERS

_MODEL = "model"


def divided(bundle: Bundle, due: Due, used: Sequence[Charged]) -> Iterator[Due]:
    """The parts of a charge, as costs: rounded down, and what is left is the rest.

    Without a party for the rest it has no line: it is the operator's margin. ``used`` are the
    charges of the month, which only a division by use looks at.
    """
    size_pico = abs(due.amount_pico)
    sign = 1 if due.amount_pico >= 0 else -1
    weights = [each.weight for each in bundle.parts]
    whole = money.PER_MILLION
    if bundle.by == "use":
        weights = [_used(bundle, each.models, used) for each in bundle.parts]
    if bundle.by != "fixed":
        whole = sum(weights)
    divided_pico = money.divide_down(size_pico * bundle.divide_ppm, money.PER_MILLION)
    rest_pico = size_pico
    for part, weight in zip(bundle.parts, weights, strict=True):
        part_pico = money.divide_down(divided_pico * weight, whole) if whole else 0
        rest_pico -= part_pico
        yield from _cost(due, sign * part_pico, part.component, part.earner)
    assert rest_pico >= 0
    if bundle.rest is not None:
        yield from _cost(due, sign * rest_pico, _MODEL, bundle.rest)


def _used(bundle: Bundle, models: Sequence[str], used: Sequence[Charged]) -> int:
    """The units of the bundle's meter that calls of some models have in the month."""
    return sum(
        each.units
        for each in used
        if (each.meter == bundle.meter or (bundle.meter == "tokens" and _is_token(each.meter)))
        and any(fnmatchcase(each.model, one) for one in models)
    )


def _is_token(meter: str) -> bool:
    return ALL_METERS[meter].unit == "token"


def _cost(due: Due, amount_pico: int, component: str, party: str) -> Iterator[Due]:
    if amount_pico:
        cost = due._replace(side="cost", component=component, party=party)
        yield from told.amount(cost, amount_pico)
