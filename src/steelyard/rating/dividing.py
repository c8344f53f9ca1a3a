"""Dividing: what grants cover of a batch, and where its calls stand in their period's tiers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from steelyard.rating import counting, drawing, standing, tiered
from steelyard.rating.counting import Counter
from steelyard.rating.divisible import METER_ROW, Counts, Divided, Divisible, Ints, Times, undivided


def apportion(
    charged: Ints,
    times: Times,
    parts: Sequence[Divisible],
    counts: Counts,
) -> list[Divided]:
    """Divide the units of all parts, and count them.

    Shape: ``charged`` one row a meter, one column a call.
    """
    divided = [undivided() for _ in parts]
    by_contract: defaultdict[str, list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        if part.offer.grants:
            by_contract[part.contract].append(place)
    for places in by_contract.values():
        drawing.cover(charged, times, [(parts[p], divided[p]) for p in places], counts)
    by_name: defaultdict[Counter, list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        for meter in part.priced:
            if tiered.is_counted(part.tariff, meter):
                name = counting.of_use(part.contract, part.tariff, part.model, meter, "")
                by_name[name].append(place)
    for name, places in by_name.items():
        some = [(parts[p], divided[p]) for p in places]
        units = charged[METER_ROW[name.meter]]
        standing.stand(units, name.meter, some, times.at_us, times.first_open, counts)
    return divided
