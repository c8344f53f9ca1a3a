"""Slots: the lines that a call may have, in the order of ``scalar``, and how many units of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from steelyard.catalogue.documents import Tariff
from steelyard.catalogue.offers import Offer
from steelyard.rating import scalar
from steelyard.rating.calls import METER_ROW, Calls, Group, Ints
from steelyard.rating.divisible import Divided
from steelyard.rating.lines import Side
from steelyard.rating.tiered import BLOCKS, MINIMUM
from steelyard.values.meters import PROMPT_METERS, PROMPT_ORDER

_INT64_MAX = 2**63 - 1


class Part(NamedTuple):
    """Calls of one group, one offer, one window and one tier, and their slots in order of lines."""

    rows: Ints
    group: Group
    offer: Offer
    window: int | None
    tariff: Tariff
    priced: dict[str, Ints]
    """The units of each meter that has a price."""
    slots: list[Slot]


Count = Callable[[Calls, Part, Divided], Ints]
"""How many units of a slot each call of a part has."""


class Slot(NamedTuple):
    """A line that each call of a part has, should it have units of it.

    ``own``: what the call is charged by itself, which a minimum may take the place of.
    """

    customer: str
    contract: str
    model: str
    deployment: str
    side: Side
    component: str
    party: str
    meter: str
    currency: str
    version: str
    price_pico: int
    counted: Count
    own: bool = False
    credit: str | None = None
    """The grant whose money this is, worked out last."""


class Priced(NamedTuple):
    """Calls of one group that one tariff prices; ``place`` is the tier of their prompt."""

    group: Group
    offer: Offer
    window: int | None
    tariff: Tariff
    place: int


def part(calls: Calls, rows: Ints, priced: Priced) -> Part:
    """Calls with their slots, charges before costs."""
    units = {
        each: calls.charged[METER_ROW[each]][rows]
        for each in calls.charged_meters
        if any(True for _ in _prices(priced, each))
    }
    return Part(rows, *priced[:4], units, _slots(calls, priced))


def _slots(calls: Calls, priced: Priced) -> list[Slot]:
    tariff, offer = priced.tariff, priced.offer
    found = list(itertools.chain.from_iterable(_of_meter(priced, m) for m in calls.charged_meters))
    if tariff.minimum_pico:
        found = list(itertools.chain.from_iterable(map(_with_twin, found)))
        if found:
            found.append(_charge(priced, MINIMUM, tariff.minimum_pico, _none))
    if found:
        found += [
            _charge(priced, "credit", -1, _none)._replace(
                version=f"{offer.price_version} {grant.id}@{grant.since}", credit=grant.id
            )
            for grant in offer.grants
            if grant.gives == "money"
        ]
    found += [
        _slot(
            priced,
            ("cost", rule.component, rule.earner, meter),
            offer.cost_version,
            rule.rates.prices[meter],
            partial(_produced, meter),
        )
        for rule in offer.costs
        for meter in calls.produced_meters
        if meter in rule.rates.prices
    ]
    return found


def minimize(slots: Sequence[Slot], minimum_pico: int, units: Ints) -> None:
    """Where a call's own charges are less than the minimum, charge that: their twins cost nothing.

    Shape: ``units`` one row a call, one column a slot; it is changed.
    """
    own = [place for place, slot in enumerate(slots) if slot.own]
    if not own:
        return
    reached = np.zeros(len(units), dtype=np.bool_)
    total = np.zeros(len(units), dtype=np.int64)
    for place in own:
        price = slots[place].price_pico
        if price:
            enough = -(-minimum_pico // price)
            reached |= units[:, place] >= enough
            total += np.minimum(units[:, place], enough - 1) * price
    below = ~reached & (total < minimum_pico) & units[:, own].any(axis=1)
    for place in own:
        units[below, place + 1] = units[below, place]
        units[below, place] = 0
    last = max(place for place, slot in enumerate(slots) if slot.meter == MINIMUM)
    units[:, last] = below


def _of_meter(priced: Priced, meter: str) -> Iterator[Slot]:
    tariff, offer = priced.tariff, priced.offer
    charges = list(_prices(priced, meter))
    if not charges:
        return
    for number, grant in enumerate(offer.grants):
        if meter in grant.meters and grant.gives != "money":
            version = f"{offer.price_version} {grant.id}@{grant.since}"
            free = _charge(priced, meter, 0, partial(_covered, number, meter))
            yield free._replace(version=version)
    if tariff.kind == "volume" and meter not in tariff.blocks:
        for window in (*range(len(offer.peaks)), None):
            tiers = scalar.tariff_of(offer, window).tiers
            for comes, place in itertools.product((False, True), range(len(tiers))):
                if meter in tiers[place].rates.prices:
                    price = tiers[place].rates.prices[meter]
                    count = partial(_repriced, (meter, window, place, comes))
                    yield _charge(priced, meter, price, count)
    for each in charges:
        yield each._replace(own=True)


def _prices(priced: Priced, meter: str) -> Iterator[Slot]:
    """What is left of a meter at each of its prices."""
    tariff, tiers = priced.tariff, priced.tariff.tiers
    if meter in tariff.blocks:
        if meter in tiers[0].rates.prices:
            yield _charge(priced, meter, 0, partial(_rest, meter))
            price, block = tiers[0].rates.prices[meter], tariff.blocks[meter]
            yield _charge(priced, BLOCKS, price, partial(_begun, meter, block))
        return
    spread = tariff.kind == "progressive" and meter in PROMPT_METERS
    if spread or tariff.kind == "graduated":
        limits = [0, *(_INT64_MAX if t.up_to is None else min(t.up_to, _INT64_MAX) for t in tiers)]
        for tier, span in zip(tiers, itertools.pairwise(limits), strict=True):
            if meter in tier.rates.prices:
                count = partial(_in_prompt if spread else _in_period, meter, span)
                yield _charge(priced, meter, tier.rates.prices[meter], count)
    elif tariff.kind == "volume":
        for place, tier in enumerate(tiers):
            if meter in tier.rates.prices:
                price = tier.rates.prices[meter]
                yield _charge(priced, meter, price, partial(_at_tier, meter, place))
    elif meter in tiers[priced.place].rates.prices:
        price = tiers[priced.place].rates.prices[meter]
        yield _charge(priced, meter, price, partial(_rest, meter))


def _charge(priced: Priced, meter: str, price_pico: int, count: Count) -> Slot:
    offer = priced.offer
    whose: tuple[Side, str, str, str] = ("charge", "", offer.customer, meter)
    return _slot(priced, whose, offer.price_version, price_pico, count)


def _slot(
    priced: Priced, whose: tuple[Side, str, str, str], version: str, price_pico: int, count: Count
) -> Slot:
    side, component, party, meter = whose
    return Slot(
        customer=priced.offer.customer,
        contract=priced.group.contract,
        model=priced.group.model,
        deployment=priced.group.deployment,
        side=side,
        component=component,
        party=party,
        meter=meter,
        currency=priced.offer.currency,
        version=version,
        price_pico=price_pico,
        counted=count,
    )


def _with_twin(slot: Slot) -> tuple[Slot, ...]:
    """A slot, and for what is the call's own the same without a price."""
    if not slot.own:
        return (slot,)
    return slot, slot._replace(price_pico=0, counted=_none, own=False)


def _none(calls: Calls, part: Part, divided: Divided) -> Ints:  # noqa: ARG001 - a Count
    return np.zeros(len(part.rows), dtype=np.int64)


def _produced(meter: str, calls: Calls, part: Part, divided: Divided) -> Ints:  # noqa: ARG001 - a Count
    return calls.produced[METER_ROW[meter]][part.rows]


def _covered(grant: int, meter: str, calls: Calls, part: Part, divided: Divided) -> Ints:
    found = divided.covered.get((grant, meter))
    return _none(calls, part, divided) if found is None else found


def _repriced(
    key: tuple[str, int | None, int, bool], calls: Calls, part: Part, divided: Divided
) -> Ints:
    found = divided.repriced.get(key)
    return _none(calls, part, divided) if found is None else found


def _rest(meter: str, calls: Calls, part: Part, divided: Divided) -> Ints:  # noqa: ARG001 - a Count
    """What no grant has covered."""
    units = part.priced[meter]
    taken = divided.taken.get(meter)
    return units if taken is None else units - taken


def _at_tier(meter: str, place: int, calls: Calls, part: Part, divided: Divided) -> Ints:
    return np.where(divided.reached[meter] == place, _rest(meter, calls, part, divided), 0)


def _begun(meter: str, block: int, calls: Calls, part: Part, divided: Divided) -> Ints:
    """The blocks that units begin: rounded up, those after the call less those before it."""
    first = divided.first[meter]
    units = _rest(meter, calls, part, divided)
    return -(-(first + units) // block) + -first // block


def _in_period(
    meter: str, span: tuple[int, int], calls: Calls, part: Part, divided: Divided
) -> Ints:
    return _within(_rest(meter, calls, part, divided), divided.first[meter], span)


def _in_prompt(
    meter: str, span: tuple[int, int], calls: Calls, part: Part, divided: Divided
) -> Ints:
    first = np.zeros(len(part.rows), dtype=np.int64)
    for each in PROMPT_ORDER[: PROMPT_ORDER.index(meter)]:
        if each in calls.charged_meters:
            first += calls.charged[METER_ROW[each]][part.rows]
    taken = divided.taken.get(meter)
    if taken is not None:
        first += taken
    return _within(_rest(meter, calls, part, divided), first, span)


def _within(units: Ints, first: Ints, span: tuple[int, int]) -> Ints:
    """How many of the units that begin at ``first`` are in a span."""
    inside = np.minimum(first + units, span[1]) - np.maximum(first, span[0])
    return np.maximum(inside, 0)
