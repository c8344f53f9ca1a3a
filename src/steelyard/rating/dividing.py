"""Dividing: what grants cover of a batch, and where its calls stand in their month's tiers."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.rating import counting, drawing
from steelyard.rating.counting import Counter
from steelyard.rating.divisible import METER_ROW, Counts, Divided, Divisible, Ints, joined
from steelyard.values.periods import Month


def apportion(
    charged: Ints,
    parts: Sequence[Divisible],
    months: Sequence[Month],
    month: Ints,
    counters: Mapping[Counter, int],
) -> tuple[list[Divided], dict[Counter, int]]:
    """Divide the units of all parts, and say which counters change.

    Shape: ``charged`` one row a meter, one column a call; ``month`` a place in ``months`` a call.
    """
    counts = Counts(counters)
    divided = [Divided({}, {}, {}) for _ in parts]
    by_contract: defaultdict[str, list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        if part.offer.grants:
            by_contract[part.contract].append(place)
    for places in by_contract.values():
        drawing.cover(charged, [(parts[p], divided[p]) for p in places], months, month, counts)
    by_tiers: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        if part.tariff.kind == "graduated":
            model = "" if part.tariff.shared else part.model
            for meter in part.priced:
                by_tiers[part.contract, part.tariff.name, model, meter].append(place)
    for (*_, meter), places in sorted(by_tiers.items()):
        some = [(parts[p], divided[p]) for p in places]
        _stand(charged[METER_ROW[meter]], meter, some, months, month, counts)
    return divided, counts.changed


def _stand(
    units: Ints,
    meter: str,
    parts: Sequence[tuple[Divisible, Divided]],
    months: Sequence[Month],
    month: Ints,
    counts: Counts,
) -> None:
    """Where each call's units of a meter begin among those of its month."""
    rows, of, order = joined([part for part, _ in parts])
    rest = units[rows]
    for place, (_, part_divided) in enumerate(parts):
        if meter in part_divided.taken:
            rest[of == place] -= part_divided.taken[meter]
    # Beyond the highest limit it is all one where a unit stands: so the sums stay in 64 bits.
    tiers = itertools.chain.from_iterable(part.tariff.tiers for part, _ in parts)
    highest = max((tier.up_to for tier in tiers if tier.up_to is not None), default=0)
    first = np.zeros(len(rows), dtype=np.int64)
    numbers: list[int] = np.unique(month[rows]).tolist()
    for number in numbers:
        some = order[month[rows][order] == number]
        part = parts[0][0]
        key = counting.of_tiers(part.contract, part.tariff, part.model, meter, months[number])
        capped = np.minimum(rest[some], highest)
        first[some] = min(counts[key], highest) + np.cumsum(capped) - capped
        counts.add(key, sum(rest[some].tolist()))
    for place, (_, part_divided) in enumerate(parts):
        part_divided.first[meter] = first[of == place]
