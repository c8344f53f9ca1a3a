"""Crediting: what credits pay of a batch's calls, once all else of their charges is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from steelyard.catalogue.documents import Grant
from steelyard.rating import covering
from steelyard.rating.counting import COUNTER_MAX
from steelyard.rating.divisible import Counts, Divisible, Ints, Times, joined
from steelyard.rating.drawing import by_counter, calls_of, is_plain, runs
from steelyard.rating.lines import UNITS_LIMIT
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
        some, found = [parts[place] for place in places], [units[place] for place in places]
        if not _at_once(times, some, found, counts):
            _one_by_one(charged, times, some, found, counts)


def _at_once(
    times: Times, parts: Sequence[tuple[Part, Divisible]], units: Sequence[Ints], counts: Counts
) -> bool:
    """What plain credits pay: as far as they last, a running sum tells; whether it can be told so.

    It can't, where amounts are so high that their sum is beyond 64 bits.
    """
    amounts = _all_amounts([part for part, _ in parts], units)
    divisible = [each for _, each in parts]
    credits_ = [g for part in divisible for g in part.offer.all_grants if g.gives == "money"]
    if amounts is None or not all(map(is_plain, credits_)):
        return False
    rows, of, order = joined(divisible)
    column = np.concatenate([np.arange(len(each.rows)) for each in divisible])
    for run in runs([part.offer.all_grants for part in divisible], of, order):
        for grant in divisible[int(of[run[0]])].offer.all_grants:
            open_to = np.array([grant in part.offer.grants for part in divisible], dtype=np.bool_)
            chosen = run[open_to[of[run]]]
            if grant.gives != "money" or not len(chosen):
                continue
            paid = np.zeros(len(rows), dtype=np.int64)
            for key, some in by_counter(grant, divisible, (rows, of), times, chosen):
                paid[some] = _paid(grant, amounts, some, grant.size - counts[key])
                counts.add(key, int(paid[some].sum()))
            for number, (part, _) in enumerate(parts):
                mine = np.flatnonzero((of == number) & (paid > 0))
                if len(mine):
                    slot = next(n for n, each in enumerate(part.slots) if each.credit == grant.id)
                    units[number][column[mine], slot] = paid[mine]
    return True


def _all_amounts(parts: Sequence[Part], units: Sequence[Ints]) -> dict[str, Ints] | None:
    """What calls are charged, by meter, part after part. Unit: pico-units.

    None, where a sum of them may be beyond 64 bits.
    """
    size = sum(len(each) for each in units)
    found: dict[str, Ints] = {}
    first = most = 0
    for part, here in zip(parts, units, strict=True):
        last = first + len(here)
        for place, slot in enumerate(part.slots):
            if slot.side == "charge" and slot.price_pico > 0:
                most += int(np.abs(here[:, place]).max(initial=0)) * slot.price_pico
                if most * max(size, 1) > COUNTER_MAX:
                    return None
                amounts = found.setdefault(slot.meter, np.zeros(size, dtype=np.int64))
                amounts[first:last] += here[:, place] * slot.price_pico
        first = last
    return found


def _paid(grant: Grant, amounts: dict[str, Ints], some: Ints, left: int) -> Ints:
    """What a credit pays of calls, one after the other; the amounts become what is left."""
    charged = {meter: np.maximum(all_[some], 0) for meter, all_ in amounts.items()}
    net = sum((all_[some] for all_ in amounts.values()), np.zeros(len(some), dtype=np.int64))
    mine = [meter for meter in grant.meters if meter in charged]
    wanted = sum((charged[meter] for meter in mine), np.zeros(len(some), dtype=np.int64))
    wanted = np.minimum(np.maximum(np.minimum(wanted, net), 0), UNITS_LIMIT)
    before = np.cumsum(wanted) - wanted
    paid = np.minimum(wanted, np.maximum(left - before, 0))
    rest = paid.copy()
    for meter in mine:
        part = np.minimum(charged[meter], rest)
        amounts[meter][some] -= part
        rest -= part
    return paid


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
