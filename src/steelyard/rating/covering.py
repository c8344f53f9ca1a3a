"""Covering: what grants pay of one call, before money does, and then what credits pay of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from steelyard.catalogue.documents import Burn, Grant, Tariff
from steelyard.rating import quotas, tiered
from steelyard.rating.counting import Counter
from steelyard.rating.lines import UNITS_LIMIT
from steelyard.rating.quotas import Holder
from steelyard.rating.tiered import Use
from steelyard.values import money, periods
from steelyard.values.periods import Month

Covered = dict[str, list[tuple[int, Grant]]]
"""By meter, the units that each grant covers, in the order of cover."""

Slices = Sequence[tuple[int, int]]
"""Units in their order, and how many parts of a grant each of them counts as."""


class Call(NamedTuple):
    """What grants ask of a call. Unit: ``ended_us`` µs since 1970; ``meters`` as charged."""

    holder: Holder
    ended_us: int
    tariff: Tariff
    meters: Mapping[str, int]


def call_of(
    names: tuple[str, str, str],
    period: Month,
    times_us: tuple[int, int],
    tariff: Tariff,
    meters: Mapping[str, int],
) -> Call:
    """A call of some contract, model and zone, which counts in a month.

    Unit: µs since 1970, its beginning and its end. One of an earlier month counts as if it were
    made at the beginning of the month that it is booked in.
    """
    contract, model, zone = names
    at_us, ended_us = times_us
    counted_us = max(at_us, _first_us(period, zone))
    return Call(Holder(contract, model, zone, period, counted_us), ended_us, tariff, meters)


@lru_cache(1 << 10)
def _first_us(period: Month, zone: str) -> int:
    return periods.bounds_us(period, zone)[0]


def cover(
    call: Call,
    grants: Sequence[Grant],
    priced: Sequence[str],
    counters: MutableMapping[Counter, int],
) -> tuple[dict[str, int], Covered]:
    """What is left of a call's units of each meter with a price, and what covers the others."""
    rest = {meter: call.meters.get(meter, 0) for meter in priced}
    covered: Covered = {meter: [] for meter in priced}
    for grant in grants:
        if grant.gives == "money":
            continue
        for meter, units in draw(grant, call, rest, counters).items():
            rest[meter] -= units
            covered[meter].append((units, grant))
    return rest, covered


def draw(
    grant: Grant, call: Call, rest: Mapping[str, int], counters: MutableMapping[Counter, int]
) -> dict[str, int]:
    """The units that a grant covers of those that are left, by meter; counters are moved on."""
    if not eligible(grant, call):
        return {}
    if grant.gives == "calls":
        return _whole_call(grant, call, rest, counters)
    wanted = _wanted(grant, call, rest)
    if not wanted:
        return {}
    rooms = _rooms(grant, call, counters)
    if grant.last_call == "divided":
        found, used = _divided(grant, wanted, rooms)
    else:
        found, used = _undivided(grant, wanted, rooms)
    for quota, parts in zip(quotas.quotas_of(grant), used, strict=True):
        if parts:
            quotas.use(grant, quota, call.holder, parts, counters)
    return found


def _wanted(grant: Grant, call: Call, rest: Mapping[str, int]) -> dict[str, Slices]:
    """What is left of a call that a grant may cover, by meter."""
    found: dict[str, Slices] = {}
    for meter in grant.meters:
        if rest.get(meter):
            slices = _slices(grant, call, meter, call.meters[meter] - rest[meter])
            if slices is not None:
                found[meter] = slices
    return found


def needs(grant: Grant, call: Call, rest: Mapping[str, int]) -> list[int]:
    """What all that is left of a call would use of each quota. Unit: parts."""
    if grant.gives != "calls":
        return _needs(grant, _wanted(grant, call, rest))
    need = _call_parts(grant, call.holder.model) or 0
    some = any(rest.get(meter) for meter in grant.meters)
    return [need if some else 0] * len(quotas.quotas_of(grant))


def _needs(grant: Grant, wanted: Mapping[str, Slices]) -> list[int]:
    found = [0] * len(quotas.quotas_of(grant))
    for meter, slices in wanted.items():
        for place in _counted_by(grant, meter):
            found[place] += burnt(grant, slices, _count(slices))
    return found


def _rooms(grant: Grant, call: Call, counters: Mapping[Counter, int]) -> list[int]:
    return [quotas.left(grant, each, call.holder, counters) for each in quotas.quotas_of(grant)]


def eligible(grant: Grant, call: Call) -> bool:
    """Whether a grant that is in force is for a call of its models and labels."""
    if grant.cached_excluded and call.meters.get("cached_input_tokens"):
        return False
    return grant.by == "start" or grant.until_us is None or call.ended_us < grant.until_us


def burn_of(grant: Grant, model: str) -> Burn | None:
    """What units of a model count as; None where they do not, or each counts as one."""
    return next((each for each in grant.burns if fnmatchcase(model, each.model)), None)


def _slices(grant: Grant, call: Call, meter: str, taken: int) -> Slices | None:
    """The units of a meter after those that are ``taken``; None where they are not covered."""
    units = call.meters[meter] - taken
    if not grant.burns:
        return [(units, grant.scale)]
    burn = burn_of(grant, call.holder.model)
    if burn is None:
        return None
    tariff = call.tariff if burn.tariff is None else burn.tariff
    if not tiered.is_priced(tariff, call.meters, meter):
        return None
    pieces = tiered.pieces(Use(tariff, call.meters, meter, taken))
    return [(units, weight) for name, units, weight in pieces if units and name == meter]


def counted(grant: Grant, call: Call, meter: str, taken: int, units: int) -> int | None:
    """What some units of a meter that a grant has covered count as; None: nothing. Unit: parts."""
    slices = _slices(grant, call, meter, taken)
    return None if slices is None else burnt(grant, slices, units)


def burnt(grant: Grant, slices: Slices, units: int) -> int:
    """What the first units of a meter count as, rounded once. Unit: parts."""
    parts = 0
    for count, weight in slices:
        parts += min(count, units) * weight
        units -= min(count, units)
    if grant.step == 1:
        return parts
    return money.divide_half_even(parts, grant.step) * grant.step


_Drawn = tuple[dict[str, int], list[int]]
"""Units by meter, and what they use of each quota. Unit: parts."""


def _whole_call(
    grant: Grant, call: Call, rest: Mapping[str, int], counters: MutableMapping[Counter, int]
) -> dict[str, int]:
    """All that is left of a call, if there is one for it in each quota."""
    found = {meter: rest[meter] for meter in grant.meters if rest.get(meter)}
    need = _call_parts(grant, call.holder.model)
    if not found or need is None:
        return {}
    if any(room < need for room in _rooms(grant, call, counters)):
        return {}
    for quota in quotas.quotas_of(grant):
        quotas.use(grant, quota, call.holder, need, counters)
    return found


def _call_parts(grant: Grant, model: str) -> int | None:
    """What a call of a model counts as; None where it is not covered. Unit: parts."""
    if not grant.burns:
        return grant.scale
    burn = burn_of(grant, model)
    return None if burn is None or burn.tariff is None else _weight_of_a_call(burn.tariff)


def _weight_of_a_call(tariff: Tariff) -> int:
    return tariff.tiers[0].rates.prices["requests"]


def _divided(grant: Grant, wanted: Mapping[str, Slices], rooms: list[int]) -> _Drawn:
    found: dict[str, int] = {}
    used = [0] * len(rooms)
    for meter, slices in wanted.items():
        counted = _counted_by(grant, meter)
        room = min((rooms[place] - used[place] for place in counted), default=0)
        if room <= 0:
            continue
        units = _count(slices)
        parts = burnt(grant, slices, units)
        if parts > room:
            units = _most(grant, slices, units, room)
            parts = burnt(grant, slices, units)
        if units:
            found[meter] = units
        for place in counted:
            used[place] += parts
    return found, used


def _undivided(grant: Grant, wanted: Mapping[str, Slices], rooms: list[int]) -> _Drawn:
    used = _needs(grant, wanted)
    for room, need in zip(rooms, used, strict=True):
        if need and room < (1 if grant.last_call == "covered" else need):
            return {}, [0] * len(rooms)
    return {meter: _count(slices) for meter, slices in wanted.items()}, used


def _counted_by(grant: Grant, meter: str) -> list[int]:
    """The places of the quotas that count a meter."""
    found = enumerate(quotas.quotas_of(grant))
    return [place for place, each in found if not each.meters or meter in each.meters]


def _count(slices: Slices) -> int:
    return sum(units for units, _ in slices)


def _most(grant: Grant, slices: Slices, units: int, room: int) -> int:
    """The most of the first units for which there is room."""
    return bisect_right(range(units + 1), room, key=lambda n: burnt(grant, slices, n)) - 1


def credited(
    call: Call,
    grants: Iterable[Grant],
    amounts: MutableMapping[str, int],
    counters: MutableMapping[Counter, int],
) -> list[tuple[int, Grant]]:
    """What each credit pays of what a call is charged, by meter. Unit: pico-units.

    ``amounts`` becomes what is left. A credit pays at most ``UNITS_LIMIT`` of one call.
    """
    found: list[tuple[int, Grant]] = []
    for grant in grants:
        if grant.gives != "money" or not eligible(grant, call):
            continue
        wanted = sum(max(amounts.get(meter, 0), 0) for meter in grant.meters)
        rooms = [
            quotas.left(grant, each, call.holder, counters) for each in quotas.quotas_of(grant)
        ]
        paid = min(wanted, sum(amounts.values()), UNITS_LIMIT, *rooms)
        if paid <= 0:
            continue
        found.append((paid, grant))
        for quota in quotas.quotas_of(grant):
            quotas.use(grant, quota, call.holder, paid, counters)
        for meter in grant.meters:
            part = min(max(amounts.get(meter, 0), 0), paid)
            if part:
                amounts[meter] -= part
                paid -= part
    return found
