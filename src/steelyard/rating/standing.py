"""Standing: where each call of a batch stands among what its period uses, for all calls at once.

It is ``scalar``'s loop over calls, turned around: what was used before a call is a running sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from steelyard.catalogue.documents import Tariff
from steelyard.rating import clocks, counting
from steelyard.rating.counting import Counter
from steelyard.rating.divisible import Counts, Divided, Divisible, Ints, joined
from steelyard.values.periods import Month

_INT64_MAX = 2**63 - 1
_HALF_BITS = 32

Some = Sequence[tuple[Divisible, Divided]]


def stand(
    units: Ints, meter: str, parts: Some, at_us: Ints, first_open: Month | None, counts: Counts
) -> None:
    """Say where the units of a meter begin, of calls that are counted under one name.

    Shape: ``units`` and ``at_us`` one a call of the batch.
    """
    rows, of, order = joined([part for part, _ in parts])
    rest = units[rows]
    code = np.empty(len(rows), dtype=np.int64)
    names: dict[str, int] = {}
    for place, (part, divided) in enumerate(parts):
        mine = of == place
        if meter in divided.taken:
            rest[mine] -= divided.taken[meter]
        found, named = clocks.periods_of(
            part.tariff.per, at_us[part.rows], part.offer.zone, first_open
        )
        places = np.array([names.setdefault(each, len(names)) for each in named], dtype=np.int64)
        code[mine] = places[found]
    first = np.zeros(len(rows), dtype=np.int64)
    part = parts[0][0]
    block = part.tariff.blocks.get(meter)
    # Beyond the highest limit it is all one where a unit stands: so the sums stay in 64 bits.
    tiers = itertools.chain.from_iterable(part.tariff.tiers for part, _ in parts)
    beyond = 1 + max((tier.up_to for tier in tiers if tier.up_to is not None), default=0)
    ordered = code[order]
    for name, number in names.items():
        some = order if len(names) == 1 else order[ordered == number]
        key = counting.of_use(part.contract, part.tariff, part.model, meter, name)
        if block is not None:
            first[some] = _in_block(rest[some], key, block, counts)
            continue
        capped = np.minimum(rest[some], beyond)
        first[some] = min(counts[key], beyond) + np.cumsum(capped) - capped
        counts.add(key, sum_of(rest[some]))
        for version in _versions(parts):
            chosen = np.array([_is_volume(each, version) for each, _ in parts], dtype=np.bool_)
            mine = some[chosen[of[some]] & (rest[some] > 0)]
            if len(mine):
                total = first[mine] + np.minimum(rest[mine], beyond)
                _reprice(meter, key, parts, (of[mine], total, rest[mine]), counts, rows[mine])
    for place, (each, divided) in enumerate(parts):
        divided.first[meter] = first[of == place]
        if each.tariff.kind == "volume" and block is None:
            left = np.minimum(rest[of == place], beyond)
            divided.reached[meter] = places_for(each.tariff, divided.first[meter] + left)


def places_for(tariff: Tariff, units: Ints) -> Ints:
    """The places of the tiers that sums of units are in."""
    limits = [_INT64_MAX if t.up_to is None else min(t.up_to, _INT64_MAX) for t in tariff.tiers]
    side = "left" if tariff.boundary == "closed" else "right"
    return np.searchsorted(np.array(limits[:-1], dtype=np.int64), units, side=side)


def sum_of(units: Ints) -> int:
    """The exact sum of natural numbers, however large: of their halves, which fit."""
    high, low = units >> _HALF_BITS, units & ((1 << _HALF_BITS) - 1)
    return (int(high.sum()) << _HALF_BITS) + int(low.sum())


def _in_block(rest: Ints, key: Counter, block: int, counts: Counts) -> Ints:
    """Where units begin in the blocks that they are sold by."""
    over = rest % block
    last = counts[key] + np.cumsum(over)
    if rest.any():
        counts[key] = int(last[-1]) % block
    return (last - over) % block


def _versions(parts: Some) -> Iterator[str]:
    """The versions among parts that price what was used before again."""
    volume = (part.offer.price_version for part, _ in parts if part.tariff.kind == "volume")
    yield from dict.fromkeys(volume)


def _is_volume(part: Divisible, version: str) -> bool:
    return part.tariff.kind == "volume" and part.offer.price_version == version


def _reprice(
    meter: str,
    key: Counter,
    parts: Some,
    calls: tuple[Ints, Ints, Ints],
    counts: Counts,
    rows: Ints,
) -> None:
    """What calls of one version that reach another tier price again.

    Shape: of each call in order: its part, the sum with it, its own units, its row in the batch.
    """
    of, total, rest = calls
    version = parts[int(of[0])][0].offer.price_version
    new = np.empty(len(of), dtype=np.int64)
    tiers_count = np.array([len(part.tariff.tiers) for part, _ in parts], dtype=np.int64)
    windows = [part.window for part, _ in parts]
    found: list[int] = np.unique(of).tolist()
    for place in found:
        mine = of == place
        new[mine] = places_for(parts[place][0].tariff, total[mine])
    reached = counting.of_reached(key, version)
    before = np.concatenate(([counts[reached]], new[:-1]))
    if (before != new).any():
        counts[reached] = int(new[-1])
    old = np.minimum(before, tiers_count[of] - 1)
    crossing: list[int] = np.flatnonzero(old != new).tolist()
    for call in crossing:
        part, divided = parts[int(of[call])]
        for window in (*range(len(part.offer.peaks)), None):
            within = np.array([each == window for each in windows], dtype=np.bool_)[of[:call]]
            counter = counting.of_volume(key, version, window)
            used = min(counts[counter] + sum_of(rest[:call][within]), counting.COUNTER_MAX)
            if used:
                where = np.searchsorted(part.rows, rows[call : call + 1])
                for tier, units in ((int(old[call]), -used), (int(new[call]), used)):
                    again = divided.repriced.setdefault(
                        (meter, window, tier, units > 0), np.zeros(len(part.rows), dtype=np.int64)
                    )
                    again[where] = units
    for window in dict.fromkeys(windows):
        within = np.array([each == window for each in windows], dtype=np.bool_)[of]
        counts.add(counting.of_volume(key, version, window), sum_of(rest[within]))
