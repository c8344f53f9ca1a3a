"""Divisible: what of a batch depends on other calls, as values."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple, cast

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


class Counts:
    """The counters as they stand, and those that changed."""

    def __init__(self, before: Mapping[Counter, int]) -> None:
        self._before = before
        self.changed: dict[Counter, int] = {}
        self.standing = ChainMap(self.changed, cast("MutableMapping[Counter, int]", before))
        """Both together: what is put there has changed."""

    def __getitem__(self, key: Counter) -> int:
        return self.changed.get(key, self._before.get(key, 0))

    def add(self, key: Counter, units: int) -> None:
        """Count units; none change nothing."""
        if units:
            self.changed[key] = min(self[key] + units, COUNTER_MAX)

    def set(self, key: Counter, count: int) -> None:
        """Put a count in the place of another."""
        self.changed[key] = count


def joined(parts: Sequence[Divisible]) -> tuple[Ints, Ints, Ints]:
    """The rows of all parts one after the other, the part of each, and their order."""
    rows = np.concatenate([part.rows for part in parts])
    of = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    return rows, of, np.argsort(rows, kind="stable")
