"""Counting: what one call leaves for the next, by keys that last from batch to batch."""

from __future__ import annotations

from typing import NamedTuple

from steelyard.catalogue.documents import COUNTED, Contract, Edition, Grant, Tariff
from steelyard.values import periods
from steelyard.values.periods import Month, Per

COUNTER_MAX = 2**62
"""Where a counter stays: no limit is so high."""


class Counter(NamedTuple):
    """What a count is of. Empty: of all models, of all meters, of all time."""

    contract: str
    name: str
    model: str
    meter: str
    period: str


def of_grant(contract: str, grant: Grant, model: str, period: Month) -> Counter:
    """Under what the units are counted that a grant has covered."""
    month = "" if grant.every is None else str(period)
    return Counter(contract, f"grant {grant.id}", "" if grant.shared else model, "", month)


def of_use(contract: str, tariff: Tariff, model: str, meter: str, period: str) -> Counter:
    """Under what the units of a period are counted that its tiers or blocks have priced."""
    kind = f"blocks of {tariff.blocks[meter]}" if meter in tariff.blocks else "price"
    model = "" if tariff.shared else model
    return Counter(contract, f"{kind} {tariff.name}", model, meter, period)


def of_volume(position: Counter, version: str, window: int | None) -> Counter:
    """Under what those of them are counted that one window of a version has priced."""
    place = "" if window is None else f" {window}"
    return position._replace(name=f"volume {position.name} {version}{place}")


def of_reached(position: Counter, version: str) -> Counter:
    """Under what the place of the tier is kept at whose price a version's units are."""
    return position._replace(name=f"reached {position.name} {version}")


def period_named(per: Per, at_us: int, zone: str, first_open: Month | None) -> str:
    """The period that a call counts in; one of a closed month counts in the first open one."""
    if first_open is not None:
        at_us = max(at_us, periods.bounds_us(first_open, zone)[0])
    return periods.named(per, at_us, zone)


def depends(tariff: Tariff) -> bool:
    """Whether a price depends on other calls."""
    return tariff.kind in COUNTED or bool(tariff.blocks)


def counts(edition: Edition) -> bool:
    """Whether some contract has a price that depends on other calls."""
    return any(map(counted, edition.contracts))


def counted(contract: Contract) -> bool:
    """Whether a contract has a price that depends on other calls."""
    tariffs = [rule.tariff for rule in contract.prices if rule.tariff is not None]
    return bool(contract.grants) or any(map(depends, tariffs))
