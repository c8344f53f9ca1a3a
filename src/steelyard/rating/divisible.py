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

Ints = npt.NDArray[np.int64]

METER_ROW = {name: row for row, name in enumerate(METERS)}


class Divisible(NamedTuple):
    """Calls of one contract, model, offer and tariff; ``priced`` are the meters with a price."""

    rows: Ints
    contract: str
    model: str
    offer: Offer
    tariff: Tariff
    priced: frozenset[str]


class Divided(NamedTuple):
    """What of a part's units is not simply at its price, a number a call.

    ``covered`` by the grant's place in the offer and the meter; ``taken`` is its sum by meter;
    ``first`` is the place in the month of the first unit that is left, by meter.
    """

    covered: dict[tuple[int, str], Ints]
    taken: dict[str, Ints]
    first: dict[str, Ints]


NOTHING = Divided({}, {}, {})


class Counts:
    """The counters as they stand, and those that changed."""

    def __init__(self, before: Mapping[Counter, int]) -> None:
        self._before = before
        self.changed: dict[Counter, int] = {}

    def __getitem__(self, key: Counter) -> int:
        return self.changed.get(key, self._before.get(key, 0))

    def add(self, key: Counter, units: int) -> None:
        """Count units; none change nothing."""
        if units:
            self.changed[key] = min(self[key] + units, COUNTER_MAX)


def joined(parts: Sequence[Divisible]) -> tuple[Ints, Ints, Ints]:
    """The rows of all parts one after the other, the part of each, and their order."""
    rows = np.concatenate([part.rows for part in parts])
    of = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    return rows, of, np.argsort(rows, kind="stable")
