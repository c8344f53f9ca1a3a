"""Divisible: what of a batch depends on other calls, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.catalogue.documents import Tariff
from steelyard.catalogue.offers import Offer
from steelyard.rating.counting import COUNTER_MAX, Counter
from steelyard.values.meters import METERS
from steelyard.values.periods import Month

Ints = npt.NDArray[np.int64]

METER_ROW = {name: row for row, name in enumerate(METERS)}


class Divisible(NamedTuple):
    """Calls of one contract, model, offer and window; ``priced`` are the meters with a price."""

    rows: Ints
    contract: str
    model: str
    offer: Offer
    window: int | None
    tariff: Tariff
    priced: frozenset[str]


class Times(NamedTuple):
    """When the calls of a batch were, and in which month each is booked.

    Unit: µs since 1970; ``month`` is a place in ``months``, one a call.
    """

    at_us: Ints
    ended_us: Ints
    month: Ints
    months: Sequence[Month]
    first_open: Month | None


class Divided(NamedTuple):
    """What of a part's units is not simply at its price, a number a call.

    ``covered`` by the grant's place in the offer and the meter; ``taken`` is its sum by meter;
    ``first`` is the place in the period of the first unit that is left, by meter. Of volume tiers,
    ``reached`` is the place of the tier that the sum is in, by meter; ``repriced`` are units of
    earlier calls by meter, window, place of a tier, and whether they come to it (or leave it).
    """

    covered: dict[tuple[int, str], Ints]
    taken: dict[str, Ints]
    first: dict[str, Ints]
    reached: dict[str, Ints]
    repriced: dict[tuple[str, int | None, int, bool], Ints]


def undivided() -> Divided:
    """Where nothing depends on other calls."""
    return Divided({}, {}, {}, {}, {})


class Counts(dict[Counter, int]):
    """The counters as they stand; one that is not there is zero.

    ``changed`` are those that were put, with what they are now.
    """

    def __init__(self, before: Mapping[Counter, int]) -> None:
        super().__init__(before)
        self.changed: dict[Counter, int] = {}

    def __missing__(self, key: Counter) -> int:
        return 0

    def __setitem__(self, key: Counter, count: int) -> None:
        super().__setitem__(key, count)
        self.changed[key] = count

    def add(self, key: Counter, units: int) -> None:
        """Count units; none change nothing."""
        if units:
            self[key] = min(self[key] + units, COUNTER_MAX)


def joined(parts: Sequence[Divisible]) -> tuple[Ints, Ints, Ints]:
    """The rows of all parts one after the other, the part of each, and their order."""
    rows = np.concatenate([part.rows for part in parts])
    of = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    return rows, of, np.argsort(rows, kind="stable")
