"""Crediting: what credits pay of a batch's calls, once all else of their charges is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from steelyard.rating import covering
from steelyard.rating.divisible import Counts, Divisible, Ints, Times, joined
from steelyard.rating.drawing import calls_of
from steelyard.rating.slots import Part


def credit(
    charged: Ints,
    times: Times,
    parts: Sequence[tuple[Part, Divisible]],
    units: Sequence[Ints],
    counts: Counts,
) -> None:
    """Fill in what credits pay, contract by contract, in the order of the calls.

    Shape: ``units`` of each part, one row a call, one column a slot; they are changed.
    """
    by_contract: defaultdict[str, list[int]] = defaultdict(list)
    for place, (part, _) in enumerate(parts):
        if any(slot.credit is not None for slot in part.slots):
            by_contract[part.group.contract].append(place)
    for places in by_contract.values():
        some = [parts[place] for place in places]
        _one_by_one(charged, times, some, [units[place] for place in places], counts)


def _one_by_one(
    charged: Ints,
    times: Times,
    parts: Sequence[tuple[Part, Divisible]],
    units: Sequence[Ints],
    counts: Counts,
) -> None:
    divisible = [each for _, each in parts]
    rows, of, order = joined(divisible)
    column = np.concatenate([np.arange(len(each.rows)) for each in divisible])
    amounts = [_Amounts(part, found) for (part, _), found in zip(parts, units, strict=True)]
    numbers: list[int] = of[order].tolist()
    places: list[int] = column[order].tolist()
    calls = calls_of(charged, times, divisible, rows[order], of[order])
    for call, number, place in zip(calls, numbers, places, strict=True):
        part, found = parts[number][0], units[number]
        paid = covering.credited(call, part.offer.grants, amounts[number].of(place), counts)
        for pico, grant in paid:
            found[place, amounts[number].slot[grant.id]] = pico


class _Amounts:
    """What the calls of a part are charged, by meter. Unit: pico-units."""

    def __init__(self, part: Part, units: Ints) -> None:
        self.slot = {slot.credit: place for place, slot in enumerate(part.slots) if slot.credit}
        self._charges = [
            (slot.meter, slot.price_pico, units[:, place].tolist())
            for place, slot in enumerate(part.slots)
            if slot.side == "charge" and slot.price_pico > 0
        ]

    def of(self, place: int) -> dict[str, int]:
        """The charges of one call."""
        found: dict[str, int] = {}
        for meter, price_pico, units in self._charges:
            if units[place]:
                found[meter] = found.get(meter, 0) + units[place] * price_pico
        return found
