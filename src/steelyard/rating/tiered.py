"""Tiers: the prices of a meter's units in one call, by each kind of tariff, in plain integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from steelyard.catalogue import offers
from steelyard.catalogue.documents import COUNTED, Tariff, TierKind
from steelyard.rating.counting import COUNTER_MAX
from steelyard.values.meters import PROMPT_METERS, PROMPT_ORDER

BLOCKS = "blocks"
MINIMUM = "minimum_charge"


class Use(NamedTuple):
    """What one call uses of a meter.

    ``charged`` are all its units by meter, of which the first ``taken`` of this one are covered.
    ``position`` is how many of the meter were used in the period before it.
    """

    tariff: Tariff
    charged: Mapping[str, int]
    meter: str
    taken: int = 0
    position: int = 0

    @property
    def units(self) -> int:
        """How many are left to be priced."""
        return self.charged.get(self.meter, 0) - self.taken


Piece = tuple[str, int, int]
"""Meter, units, and the price of one of them. Unit: pico-units."""


def is_priced(tariff: Tariff, charged: Mapping[str, int], meter: str) -> bool:
    """Whether a call pays for units of a meter, should it have some."""
    if meter in tariff.blocks:
        return meter in tariff.tiers[0].rates.prices
    if tariff.kind == "whole" or (tariff.kind == "progressive" and meter not in PROMPT_METERS):
        return meter in offers.tier_for(tariff, prompt_tokens(charged)).rates.prices
    return any(meter in tier.rates.prices for tier in tariff.tiers)


def pieces(use: Use) -> Iterator[Piece]:
    """The units of a meter at each of their prices."""
    if use.meter in use.tariff.blocks:
        return _blocks(use)
    return _KINDS[use.tariff.kind](use)


def is_counted(tariff: Tariff, meter: str) -> bool:
    """Whether the price of a meter depends on what was used before."""
    return tariff.kind in COUNTED or meter in tariff.blocks


def position_after(use: Use) -> int:
    """Where the next unit of a meter will stand; of blocks, in the last one begun."""
    position = use.position + use.units
    block = use.tariff.blocks.get(use.meter)
    return min(position, COUNTER_MAX) if block is None else position % block


def prompt_tokens(charged: Mapping[str, int]) -> int:
    """The length of a call's prompt, cached tokens included."""
    return sum(charged.get(each, 0) for each in PROMPT_METERS)


def place_for(tariff: Tariff, units: int) -> int:
    """The place of the tier that a sum of units is in."""
    return tariff.tiers.index(offers.tier_for(tariff, units))


def _whole(use: Use) -> Iterator[Piece]:
    prices = offers.tier_for(use.tariff, prompt_tokens(use.charged)).rates.prices
    if use.meter in prices:
        yield use.meter, use.units, prices[use.meter]


def _progressive(use: Use) -> Iterator[Piece]:
    if use.meter not in PROMPT_METERS:
        yield from _whole(use)
        return
    before = PROMPT_ORDER[: PROMPT_ORDER.index(use.meter)]
    first = sum(use.charged.get(each, 0) for each in before)
    yield from _spread(use, first + use.taken)


def _graduated(use: Use) -> Iterator[Piece]:
    yield from _spread(use, use.position)


def _volume(use: Use) -> Iterator[Piece]:
    prices = offers.tier_for(use.tariff, use.position + use.units).rates.prices
    if use.meter in prices:
        yield use.meter, use.units, prices[use.meter]


def _blocks(use: Use) -> Iterator[Piece]:
    """Units are free in a block that was begun; each that they begin is paid for."""
    prices, block = use.tariff.tiers[0].rates.prices, use.tariff.blocks[use.meter]
    if use.meter in prices:
        yield use.meter, use.units, 0
        begun = blocks_begun(use.position + use.units, block) - blocks_begun(use.position, block)
        yield BLOCKS, begun, prices[use.meter]


def blocks_begun(units: int, block: int) -> int:
    """How many blocks so many units take, the last of them in part. Rounds up."""
    return -(-units // block)


def _spread(use: Use, first: int) -> Iterator[Piece]:
    """Units over tiers, from the place of the first one on."""
    below = 0
    for tier in use.tariff.tiers:
        up_to = first + use.units if tier.up_to is None else tier.up_to
        if use.meter in tier.rates.prices:
            part = min(first + use.units, up_to) - max(first, below)
            yield use.meter, max(part, 0), tier.rates.prices[use.meter]
        below = up_to


_KINDS: dict[TierKind, Callable[[Use], Iterator[Piece]]] = {
    "whole": _whole,
    "progressive": _progressive,
    "graduated": _graduated,
    "volume": _volume,
}
