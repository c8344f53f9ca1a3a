"""Drawing: what grants cover of a batch's calls, for all calls at once.

It is ``covering``'s loop over calls, turned around. That is the same, since what a grant covers of
a call depends on the calls before it and on the grants before it, which are the same for all calls
of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from steelyard.catalogue.documents import Grant
from steelyard.rating import counting
from steelyard.rating.counting import Counter
from steelyard.rating.divisible import METER_ROW, Counts, Divided, Divisible, Ints, joined
from steelyard.values.periods import Month


def cover(
    charged: Ints,
    parts: Sequence[tuple[Divisible, Divided]],
    months: Sequence[Month],
    month: Ints,
    counts: Counts,
) -> None:
    """What the grants of one contract cover, in the order of its calls."""
    rows, of, order = joined([part for part, _ in parts])
    rest = charged[:, rows]
    for place, (part, _) in enumerate(parts):
        for name, row in METER_ROW.items():
            if name not in part.priced:
                rest[row, of == place] = 0
    covered: dict[tuple[Grant, str], Ints] = {}
    for run in _runs([part.offer.all_grants for part, _ in parts], of, order):
        grants = parts[int(of[run[0]])][0].offer.all_grants
        for grant in grants:
            open_to = np.array([grant in part.offer.grants for part, _ in parts], dtype=np.bool_)
            chosen = run[open_to[of[run]]]
            for key, some in _by_counter(grant, parts, chosen, of, months, month[rows]):
                left = grant.size - counts[key]
                units = rest[[METER_ROW[name] for name in grant.meters]][:, some]
                capped = np.minimum(units.sum(axis=0), max(left, 0))
                before = np.cumsum(capped) - capped
                whole = np.minimum(capped, np.maximum(left - before, 0))
                for meter, wanted in zip(grant.meters, units, strict=True):
                    part = np.minimum(wanted, whole)
                    whole = whole - part
                    found = covered.setdefault((grant, meter), np.zeros(len(rows), dtype=np.int64))
                    found[some] += part
                    rest[METER_ROW[meter], some] -= part
                    counts.add(key, int(part.sum()))
    for place, (part, part_divided) in enumerate(parts):
        mine = of == place
        for number, grant in enumerate(part.offer.grants):
            for meter in grant.meters:
                if (grant, meter) in covered:
                    found = covered[grant, meter][mine]
                    part_divided.covered[number, meter] = found
                    part_divided.taken[meter] = part_divided.taken.get(meter, 0) + found


def _by_counter(
    grant: Grant,
    parts: Sequence[tuple[Divisible, Divided]],
    chosen: Ints,
    of: Ints,
    months: Sequence[Month],
    month: Ints,
) -> Iterator[tuple[Counter, Ints]]:
    """The calls that draw on one counter together, in their order."""
    contract = parts[0][0].contract
    names = sorted({part.model for part, _ in parts})
    code = {name: 0 if grant.shared else number for number, name in enumerate(names)}
    model = np.array([code[part.model] for part, _ in parts], dtype=np.int64)[of[chosen]]
    both = model * len(months) + (month[chosen] if grant.every is not None else 0)
    kinds: list[int] = np.unique(both).tolist()
    for each in kinds:
        name, period = names[each // len(months)], months[each % len(months)]
        yield counting.of_grant(contract, grant, name, period), chosen[both == each]


def _runs(grants: Iterable[tuple[Grant, ...]], of: Ints, order: Ints) -> Iterator[Ints]:
    """Stretches of calls whose contract has the same grants."""
    codes: dict[tuple[Grant, ...], int] = {}
    code = np.array([codes.setdefault(each, len(codes)) for each in grants], dtype=np.int64)
    ordered = code[of[order]]
    yield from np.split(order, np.flatnonzero(np.diff(ordered)) + 1)
