"""Rates: ``per_million``, ``per_unit`` and ``tier`` tables turned into tariffs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated

import msgspec

from steelyard.catalogue.documents import (
    COUNTED,
    UNITS_COUNTED_MAX,
    Boundary,
    Labels,
    Rates,
    ServiceTier,
    Tariff,
    Tier,
    TierKind,
)
from steelyard.catalogue.names import Pattern
from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Sheet, Table, suggestion
from steelyard.values import meters, money

TOKENS = "_tokens"

FALLBACKS = (
    ("cached_input_tokens", "input_tokens"),
    ("cache_write_tokens", "input_tokens"),
    ("cache_write_5m_tokens", "cache_write_tokens"),
    ("cache_write_1h_tokens", "cache_write_tokens"),
    ("reasoning_tokens", "output_tokens"),
)
"""What a meter costs that is not priced by itself: the default of the trade."""

TOKEN_PRICE_MIN_PICO = 100
TOKEN_PRICE_MAX_PICO = 10**11
"""Between 0.0001 and 100,000 a million tokens a price is believed; else its unit was mistaken.

Unit: pico-units per token. The lowest price ever listed is 0.0028 a million; a price per token
written as one per million is below 0.0001, the reverse is above 100,000.
"""

TOKEN_COST_MIN_PICO = 10
"""A component's part of a price can be a tenth of the lowest price. Unit: pico-units per token."""

_PRICED = [name for name in meters.METERS if name not in meters.MADE]
_PER_MILLION_NAMES = sorted({*_PRICED, *(name.removesuffix(TOKENS) for name in _PRICED)})


class RawTier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a ``tier`` list. Unit: tokens of the whole prompt for ``up_to``."""

    up_to: Annotated[int, msgspec.Meta(ge=1)] | None = None
    per_million: dict[str, object] = {}
    per_unit: dict[str, object] = {}


class RawPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a ``[[price]]`` of a book and one of a contract have in common."""

    service_tier: ServiceTier | None = None
    region: Pattern | None = None
    mode: Pattern | None = None
    per_million: dict[str, object] = {}
    per_unit: dict[str, object] = {}
    per_block: dict[str, object] = {}
    block: Annotated[int, msgspec.Meta(ge=1, le=UNITS_COUNTED_MAX)] | None = None
    tier: tuple[RawTier, ...] = ()
    tiers: TierKind | None = None
    boundary: Boundary | None = None
    calendar: object = None

    def labels(self) -> Labels:
        """Which calls it is for."""
        return Labels(service_tier=self.service_tier, region=self.region, mode=self.mode)


def tariff(sheet: Sheet, path: Path, raw: RawPrice) -> Tariff | None:
    """Turn the price fields of a table into a tariff; None when they are faulty."""
    if not raw.tier:
        return _untiered(sheet, path, raw)
    for name in ("per_million", "per_unit", "per_block", "block"):
        if getattr(raw, name):
            where = "in a price without tiers" if "block" in name else "inside each tier"
            sheet.fault((*path, name), f"with tiers, write {name} {where}")
    steps: list[Tier] = []
    for index, each in enumerate(raw.tier):
        found = rates(sheet, (*path, "tier", index), _tables(each))
        if found is not None:
            steps.append(Tier(each.up_to, found))
    if not _rising(sheet, path, raw.tier) or len(steps) < len(raw.tier):
        return None
    if (raw.tiers or "whole") != "whole" and not _alike(sheet, path, steps):
        return None
    if raw.tiers in COUNTED and not _countable(sheet, path, raw):
        return None
    if raw.tiers == "volume" and not _falling(sheet, path, steps):
        return None
    return Tariff(tiers=tuple(steps), boundary=raw.boundary or "closed", kind=raw.tiers or "whole")


def _untiered(sheet: Sheet, path: Path, raw: RawPrice) -> Tariff | None:
    if raw.boundary is not None:
        sheet.fault((*path, "boundary"), "a boundary is between tiers, and there is no tier")
    if raw.tiers is not None:
        sheet.fault((*path, "tiers"), "this says how a tier is chosen, and there is no tier")
    if (raw.block is None) == bool(raw.per_block):
        reason = 'blocks need both, block = 1000 and per_block = { requests = "5" }'
        sheet.fault((*path, "per_block" if raw.per_block else "block"), reason)
        return None
    found = rates(sheet, path, _tables(raw) | {"per_block": raw.per_block})
    if found is None:
        return None
    blocks = dict.fromkeys(raw.per_block, raw.block or 1)
    return Tariff(tiers=(Tier(None, found),), blocks=blocks)


def _tables(raw: RawPrice | RawTier) -> dict[str, Table]:
    return {"per_million": raw.per_million, "per_unit": raw.per_unit}


def _alike(sheet: Sheet, path: Path, steps: list[Tier]) -> bool:
    """See that units that pass a limit still have a price."""
    for index, tier in enumerate(steps):
        if tier.rates.prices.keys() != steps[0].rates.prices.keys():
            odd = {*tier.rates.prices} ^ {*steps[0].rates.prices}
            named = sorted(name for name in odd if dict(FALLBACKS).get(name) not in odd)
            where = (*path, "tier", index)
            sheet.fault(where, f"{', '.join(named)}: each tier has to price the same meters")
            return False
    return True


def _falling(sheet: Sheet, path: Path, steps: list[Tier]) -> bool:
    """See that no tier costs more than the one before: a call would pay for all before it."""
    for index, (below, tier) in enumerate(itertools.pairwise(steps), start=1):
        for meter, price in tier.rates.prices.items():
            if price > below.rates.prices[meter]:
                reason = f"{meter} rises here, and one call would pay the rise for all before it"
                where = (*path, "tier", index)
                sheet.fault(where, f'{reason}; volume tiers fall, tiers = "graduated" may rise')
                return False
    return True


def _countable(sheet: Sheet, path: Path, raw: RawPrice) -> bool:
    if raw.boundary is not None and raw.tiers == "graduated":
        reason = "the unit that reaches a limit is still below it; a boundary says nothing here"
        sheet.fault((*path, "boundary"), reason)
        return False
    for index, each in enumerate(raw.tier):
        if each.up_to is not None and each.up_to > UNITS_COUNTED_MAX:
            reason = f"up_to = {each.up_to} is above {UNITS_COUNTED_MAX}, the most that is counted"
            sheet.fault((*path, "tier", index, "up_to"), reason)
            return False
    return True


def _rising(sheet: Sheet, path: Path, tier: tuple[RawTier, ...]) -> bool:
    sound = True
    below = 0
    for index, raw in enumerate(tier[:-1]):
        where = (*path, "tier", index, "up_to")
        if raw.up_to is None:
            sheet.fault(where, "only the last tier has no up_to; write how long a prompt it takes")
            sound = False
        elif raw.up_to <= below:
            sheet.fault(where, f"up_to = {raw.up_to} does not rise above {below}; order the tiers")
            sound = False
        below = raw.up_to or below
    last = tier[-1].up_to
    if last is not None:
        reason = (
            f"prompts above {last} tokens have no price; remove up_to from the last tier, "
            "or add a tier without it"
        )
        sheet.fault((*path, "tier", len(tier) - 1, "up_to"), reason)
        sound = False
    return sound


def rates(
    sheet: Sheet,
    path: Path,
    tables: Mapping[str, Table],
    least_pico: int = TOKEN_PRICE_MIN_PICO,
    known: Mapping[str, meters.Meter] = meters.METERS,
) -> Rates | None:
    """Turn ``per_million`` and other tables into prices by meter; None when they are faulty.

    A meter sold by the block stands alone: no other one falls back on its price.
    Unit: ``least_pico`` pico-units per token, below which the unit of a price was mistaken.
    ``known`` are the meters that may have a price here.
    """
    prices: dict[str, int] = {}
    sound = True
    if not any(tables.values()):
        reason = 'no price is given; write per_million = { input = "2", output = "8" }'
        sheet.fault(path, reason)
        return None
    for table, names in tables.items():
        for name, written in names.items():
            where = (*path, table, name)
            meter = _meter(sheet, where, table, name, known)
            price = _price(sheet, where, table, written)
            if meter is None or price is None:
                sound = False
            elif meter in prices:
                sheet.fault(where, f"{meter} has a price already; keep one of the two")
                sound = False
            elif table != "per_block" and _mistaken(sheet, where, meter, price, least_pico):
                sound = False
            else:
                prices[meter] = price
    for meter, like in FALLBACKS:
        if like in prices and like not in tables.get("per_block", {}):
            prices.setdefault(meter, prices[like])
    return Rates({meter: prices[meter] for meter in known if meter in prices}) if sound else None


def _meter(
    sheet: Sheet, where: Path, table: str, name: str, among: Mapping[str, meters.Meter]
) -> str | None:
    if name in among and name not in meters.MADE:
        return name
    if name + TOKENS in among:
        if table == "per_million":
            return name + TOKENS
        sheet.fault(where, f'write the whole name of the meter here: "{name}{TOKENS}"')
        return None
    known = (
        _PER_MILLION_NAMES if table == "per_million" else [m for m in among if m not in meters.MADE]
    )
    sheet.fault(where, f'unknown meter "{name}"{suggestion(name, known)}')
    return None


def _price(sheet: Sheet, where: Path, table: str, written: object) -> int | None:
    if not isinstance(written, str):
        example = written if isinstance(written, int | float) else "2.5"
        reason = f'write a price as decimal text in quotes, "{example}", so that no digit is lost'
        sheet.fault(where, reason)
        return None
    parse = money.price_per_million if table == "per_million" else money.price_per_unit
    try:
        price = parse(written)
    except money.MoneyError as exc:
        sheet.fault(where, _finer(written, table) or str(exc))
        return None
    if price < 0:
        sheet.fault(where, f'a price is not negative; "{written}" would pay the caller')
        return None
    return price


def _finer(written: str, table: str) -> str | None:
    """Why a price that has too many digits can't be held; None when that is not what is wrong."""
    per, least, places = (
        ("a million", "0.000001", 6) if table == "per_million" else ("a unit", "0.000000000001", 12)
    )
    try:
        if money.scaled(written, 10**18) % 10 ** (18 - places) == 0:
            return None
    except money.MoneyError:
        return None
    return f'"{written}" is finer than {least} {per}, the finest price there is (10⁻¹² for one)'


def _mistaken(sheet: Sheet, where: Path, meter: str, price: int, least_pico: int) -> bool:
    if not meter.endswith(TOKENS) or price == 0:
        return False
    per_million = money.exact(price * money.PER_MILLION)
    if price < least_pico:
        reason = f"{per_million} for a million tokens: is this a price for one token?"
        sheet.fault(where, f"{reason} Write it for a million")
        return True
    if price > TOKEN_PRICE_MAX_PICO:
        reason = f"{per_million} for a million tokens: is this a price for a million?"
        sheet.fault(where, f"{reason} Write it under per_million, and for a million tokens")
        return True
    return False
