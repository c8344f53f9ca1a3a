"""Drawing: what grants cover of a batch's calls, for all calls at once.

It is ``covering``'s loop over calls, turned around. That is the same, since what a grant covers of
a call depends on the calls before it and on the grants before it, which are the same for all calls
of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from steelyard.catalogue.documents import Grant
from steelyard.rating import counting, covering
from steelyard.rating.counting import COUNTER_MAX, Counter
from steelyard.rating.covering import Call
from steelyard.rating.divisible import METER_ROW, Counts, Divided, Divisible, Ints, Times, joined


def cover(
    charged: Ints,
    times: Times,
    parts: Sequence[tuple[Divisible, Divided]],
    counts: Counts,
) -> None:
    """What the grants of one contract cover, in the order of its calls."""
    rows, of, order = joined([part for part, _ in parts])
    rest = charged[:, rows]
    for place, (part, _) in enumerate(parts):
        for name, row in METER_ROW.items():
            if name not in part.priced:
                rest[row, of == place] = 0
    drawn = _Drawn(charged, times, [part for part, _ in parts], rows, of, rest, {})
    for run in runs([part.offer.all_grants for part, _ in parts], of, order):
        for grant in parts[int(of[run[0]])][0].offer.all_grants:
            open_to = np.array([grant in part.offer.grants for part, _ in parts], dtype=np.bool_)
            chosen = run[open_to[of[run]]]
            if grant.gives != "money" and len(chosen):
                _draw(grant, drawn, chosen, counts)
    for place, (part, part_divided) in enumerate(parts):
        mine = of == place
        for number, grant in enumerate(part.offer.grants):
            for meter in grant.meters:
                if (grant.id, meter) in drawn.covered:
                    found = drawn.covered[grant.id, meter][mine]
                    part_divided.covered[number, meter] = found
                    part_divided.taken[meter] = part_divided.taken.get(meter, 0) + found


def _draw(grant: Grant, drawn: _Drawn, chosen: Ints, counts: Counts) -> None:
    if is_plain(grant):
        _at_once(grant, drawn, chosen, counts)
    elif not _in_stretches(grant, drawn, chosen, counts):
        _one_by_one(grant, drawn, chosen, counts)


class _Drawn(NamedTuple):
    """The calls of one contract, part after part, what is left of them, and what covers the rest.

    Shape: ``rest`` one row a meter, one column a call; ``covered`` by grant and meter, one a call.
    """

    charged: Ints
    times: Times
    parts: Sequence[Divisible]
    rows: Ints
    of: Ints
    rest: Ints
    covered: dict[tuple[str, str], Ints]

    def take(self, grant: Grant, meter: str, some: Ints, units: Ints) -> None:
        key = (grant.id, meter)
        found = self.covered.setdefault(key, np.zeros(len(self.rows), dtype=np.int64))
        found[some] += units
        self.rest[METER_ROW[meter], some] -= units


def is_plain(grant: Grant) -> bool:
    """Whether each unit, or pico-unit, that a grant covers counts as one, once or each month."""
    return grant.gives in {"units", "money"} and not grant.burns and _is_steady(grant)


def _is_steady(grant: Grant) -> bool:
    """Whether a grant covers units one after the other, once or each month, of any call."""
    return (
        not grant.quotas
        and grant.step == 1
        and not grant.cached_excluded
        and grant.by == "start"
        and grant.last_call == "divided"
    )


def _at_once(grant: Grant, drawn: _Drawn, chosen: Ints, counts: Counts) -> None:
    """What a plain grant covers: as far as it lasts, a running sum tells."""
    for key, some in by_counter(grant, drawn.parts, (drawn.rows, drawn.of), drawn.times, chosen):
        left = grant.size - counts[key]
        units = drawn.rest[[METER_ROW[name] for name in grant.meters]][:, some]
        capped = np.minimum(units.sum(axis=0), max(left, 0))
        before = np.cumsum(capped) - capped
        whole = np.minimum(capped, np.maximum(left - before, 0))
        for meter, wanted in zip(grant.meters, units, strict=True):
            part = np.minimum(wanted, whole)
            whole = whole - part
            drawn.take(grant, meter, some, part)
            counts.add(key, int(part.sum()))


def _in_stretches(grant: Grant, drawn: _Drawn, chosen: Ints, counts: Counts) -> bool:
    """What a grant covers whose units count as some parts each; whether it can be told so.

    Stretches of calls for which there is enough are covered at once; the call at the end of each is
    asked alone, and those for no unit of which enough is left are passed over.
    """
    if grant.gives == "calls" or not _is_steady(grant):
        return False
    weights = [_weights(grant, part) for part in drawn.parts]
    if any(each is None for each in weights):
        return False
    meters = [m for m in grant.meters if drawn.rest[METER_ROW[m], chosen].any()]
    if not meters:
        return True
    table = np.array([[(w or {}).get(m, -1) for w in weights] for m in meters], dtype=np.int64)
    weight = table[:, drawn.of[chosen]]
    units = drawn.rest[[METER_ROW[m] for m in meters]][:, chosen] * (weight >= 0)
    most = int(units.max(initial=0)) * max(int(table.max(initial=0)), 1)
    if most * max(units.size, 1) > COUNTER_MAX:
        return False
    parts = (units * weight).sum(axis=0)
    column = np.empty(len(drawn.rows), dtype=np.int64)
    column[chosen] = np.arange(len(chosen))
    for key, some in by_counter(grant, drawn.parts, (drawn.rows, drawn.of), drawn.times, chosen):
        places = column[some]
        first = 0
        while first < len(some) and (left := grant.size - counts[key]) > 0:
            coverable = (units[:, places[first:]] > 0) & (weight[:, places[first:]] <= left)
            (coming,) = np.nonzero(coverable.any(axis=0))
            if not len(coming):
                break
            first += int(coming[0])
            sums = np.cumsum(parts[places[first:]])
            enough = int(np.searchsorted(sums, left, side="right"))
            whole = places[first : first + enough]
            for row, meter in enumerate(meters):
                drawn.take(grant, meter, chosen[whole], units[row, whole])
            if enough:
                counts.add(key, int(sums[enough - 1]))
            first += enough
            _one_by_one(grant, drawn, some[first : first + 1], counts)
            first += 1
    return True


def _weights(grant: Grant, part: Divisible) -> dict[str, int] | None:
    """What a unit of each meter counts as in the calls of a part; None: it depends on the call."""
    burn = covering.burn_of(grant, part.model)
    if burn is None:
        return {}
    tariff = part.tariff if burn.tariff is None else burn.tariff
    alone = len(tariff.tiers) == 1 and not tariff.blocks
    return tariff.tiers[0].rates.prices if alone else None


def _one_by_one(grant: Grant, drawn: _Drawn, chosen: Ints, counts: Counts) -> None:
    """What any grant covers: the specification is asked for each call in turn."""
    found: dict[str, Ints] = {}
    rest = {name: drawn.rest[METER_ROW[name], chosen].tolist() for name in grant.meters}
    rest = {name: units for name, units in rest.items() if any(units)}
    calls = calls_of(drawn.charged, drawn.times, drawn.parts, drawn.rows[chosen], drawn.of[chosen])
    for place, call in enumerate(calls):
        mine = {name: units[place] for name, units in rest.items()}
        for meter, units in covering.draw(grant, call, mine, counts).items():
            taken = found.setdefault(meter, np.zeros(len(chosen), dtype=np.int64))
            taken[place] = units
    for meter, units in found.items():
        drawn.take(grant, meter, chosen, units)


def calls_of(
    charged: Ints, times: Times, parts: Sequence[Divisible], rows: Ints, of: Ints
) -> Iterator[Call]:
    """Calls as the specification sees them, of some rows, each with the place of its part."""
    names = [name for name, row in METER_ROW.items() if charged[row, rows].any()]
    columns = [charged[METER_ROW[name], rows].tolist() for name in names]
    at_us, ended_us = times.at_us[rows].tolist(), times.ended_us[rows].tolist()
    numbers: list[int] = of.tolist()
    months: list[int] = times.month[rows].tolist()
    for place, (number, month) in enumerate(zip(numbers, months, strict=True)):
        part = parts[number]
        yield covering.call_of(
            (part.contract, part.model, part.offer.zone),
            times.months[month],
            (at_us[place], ended_us[place]),
            part.tariff,
            {name: units[place] for name, units in zip(names, columns, strict=True)},
        )


def by_counter(
    grant: Grant, parts: Sequence[Divisible], placed: tuple[Ints, Ints], times: Times, chosen: Ints
) -> Iterator[tuple[Counter, Ints]]:
    """The calls that draw on one counter together, in their order.

    Shape: ``placed`` are the row and the part of each call.
    """
    (rows, of), months = placed, times.months
    names = sorted({part.model for part in parts})
    code = {name: 0 if grant.shared else number for number, name in enumerate(names)}
    model = np.array([code[part.model] for part in parts], dtype=np.int64)[of[chosen]]
    month = times.month[rows[chosen]] if grant.every is not None else 0
    both = model * len(months) + month
    kinds: list[int] = np.unique(both).tolist()
    for each in kinds:
        name, period = names[each // len(months)], months[each % len(months)]
        yield counting.of_grant(parts[0].contract, grant, name, period), chosen[both == each]


def runs(grants: Sequence[tuple[Grant, ...]], of: Ints, order: Ints) -> Iterator[Ints]:
    """Stretches of calls whose contract has the same grants."""
    known: list[tuple[Grant, ...]] = []
    for each in grants:
        if each not in known:
            known.append(each)
    code = np.array([known.index(each) for each in grants], dtype=np.int64)
    ordered = code[of[order]]
    yield from np.split(order, np.flatnonzero(np.diff(ordered)) + 1)
