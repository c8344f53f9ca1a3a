"""Dividing: what grants cover of a batch's calls, and where each call stands in its month's tiers.

It is ``scalar``'s loop over calls, turned around: a grant is worked out for all calls at once.
That is the same, since what a grant covers of a call depends on the calls before it and on the
grants before it, which are the same for all calls of a run.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.catalogue.documents import Grant, Tariff
from steelyard.catalogue.offers import Offer
from steelyard.rating import counting
from steelyard.rating.counting import COUNTER_MAX, Counter
from steelyard.values.meters import METERS
from steelyard.values.periods import Month

Ints = npt.NDArray[np.int64]

_ROW = {name: row for row, name in enumerate(METERS)}


class Divisible(NamedTuple):
    """Calls of one contract, model, offer and tariff; ``priced`` are the meters with a price."""

    rows: Ints
    contract: str
    model: str
    offer: Offer
    tariff: Tariff
    priced: frozenset[str]


class Divided(NamedTuple):
    """What of a part's units is not simply at its price, a number a call.

    ``covered`` by the grant's place in the offer and the meter; ``taken`` is its sum by meter;
    ``first`` is the place in the month of the first unit that is left, by meter.
    """

    covered: dict[tuple[int, str], Ints]
    taken: dict[str, Ints]
    first: dict[str, Ints]


NOTHING = Divided({}, {}, {})


class _Counts:
    """The counters as they stand, and those that changed."""

    def __init__(self, before: Mapping[Counter, int]) -> None:
        self._before = before
        self.changed: dict[Counter, int] = {}

    def __getitem__(self, key: Counter) -> int:
        return self.changed.get(key, self._before.get(key, 0))

    def add(self, key: Counter, units: int) -> None:
        if units:
            self.changed[key] = min(self[key] + units, COUNTER_MAX)


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
    counts = _Counts(counters)
    divided = [Divided({}, {}, {}) for _ in parts]
    by_contract: defaultdict[str, list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        if part.offer.grants:
            by_contract[part.contract].append(place)
    for places in by_contract.values():
        _cover(charged, [(parts[p], divided[p]) for p in places], months, month, counts)
    by_tiers: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        if part.tariff.kind == "graduated":
            model = "" if part.tariff.shared else part.model
            for meter in part.priced:
                by_tiers[part.contract, part.tariff.name, model, meter].append(place)
    for (*_, meter), places in sorted(by_tiers.items()):
        some = [(parts[p], divided[p]) for p in places]
        _stand(charged[_ROW[meter]], meter, some, months, month, counts)
    return divided, counts.changed


def _cover(
    charged: Ints,
    parts: Sequence[tuple[Divisible, Divided]],
    months: Sequence[Month],
    month: Ints,
    counts: _Counts,
) -> None:
    """What the grants of one contract cover, in the order of its calls."""
    rows, of, order = _joined([part for part, _ in parts])
    rest = charged[:, rows]
    for place, (part, _) in enumerate(parts):
        for name, row in _ROW.items():
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
                units = rest[[_ROW[name] for name in grant.meters]][:, some]
                capped = np.minimum(units.sum(axis=0), max(left, 0))
                before = np.cumsum(capped) - capped
                whole = np.minimum(capped, np.maximum(left - before, 0))
                for meter, wanted in zip(grant.meters, units, strict=True):
                    part = np.minimum(wanted, whole)
                    whole = whole - part
                    found = covered.setdefault((grant, meter), np.zeros(len(rows), dtype=np.int64))
                    found[some] += part
                    rest[_ROW[meter], some] -= part
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


def _stand(
    units: Ints,
    meter: str,
    parts: Sequence[tuple[Divisible, Divided]],
    months: Sequence[Month],
    month: Ints,
    counts: _Counts,
) -> None:
    """Where each call's units of a meter begin among those of its month."""
    rows, of, order = _joined([part for part, _ in parts])
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


def _joined(parts: Sequence[Divisible]) -> tuple[Ints, Ints, Ints]:
    """The rows of all parts one after the other, the part of each, and their order."""
    rows = np.concatenate([part.rows for part in parts])
    of = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    return rows, of, np.argsort(rows, kind="stable")


def _runs(grants: Iterable[tuple[Grant, ...]], of: Ints, order: Ints) -> Iterator[Ints]:
    """Stretches of calls whose contract has the same grants."""
    codes: dict[tuple[Grant, ...], int] = {}
    code = np.array([codes.setdefault(each, len(codes)) for each in grants], dtype=np.int64)
    ordered = code[of[order]]
    yield from np.split(order, np.flatnonzero(np.diff(ordered)) + 1)
