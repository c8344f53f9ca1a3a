"""Counting: what one call leaves for the next, by keys that last from batch to batch."""

from __future__ import annotations

from typing import NamedTuple

from steelyard.catalogue.documents import Edition, Grant, Tariff
from steelyard.values.periods import Month

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


def of_tiers(contract: str, tariff: Tariff, model: str, meter: str, period: Month) -> Counter:
    """Under what the units of a month are counted that its tiers have priced."""
    model = "" if tariff.shared else model
    return Counter(contract, f"price {tariff.name}", model, meter, str(period))


def counts(edition: Edition) -> bool:
    """Whether some contract has a price that depends on other calls."""
    return any(
        each.grants or any(rule.tariff and rule.tariff.kind == "graduated" for rule in each.prices)
        for each in edition.contracts
    )
