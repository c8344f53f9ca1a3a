"""Takings: what the calls that come into a journal are charged, as the books will charge them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from steelyard.catalogue.documents import Edition
from steelyard.clerk.batch import Journal
from steelyard.lab.pulse import Sold
from steelyard.rating import columnar
from steelyard.rating.totals import totals

CALLS_AT_ONCE = 20_000

Editions = Callable[[Iterable[int]], Mapping[int, Edition]]
"""The recorded editions among some numbers."""


class Takings:
    """Follows a journal from ``cursors`` on, how far the books have read it."""

    def __init__(self, journal: Path, cursors: Mapping[str, int], editions: Editions) -> None:
        self._journal = Journal(journal)
        self._cursors = dict(cursors)
        self._editions = editions
        self._known: dict[int, Edition] = {}

    def more(self) -> list[Sold]:
        """What was charged for the calls that came since the last time, or are not booked yet.

        Calls that are imported meanwhile are not what the gateway does, and are left out.
        """
        sold: list[Sold] = []
        while True:
            gathered = self._journal.gather(self._cursors, CALLS_AT_ONCE)
            if not gathered.records:
                return sold
            self._cursors |= {each.segment: each.end for each in gathered.ranges}
            records = [each for each in gathered.records if each.origin == "live"]
            wanted = {each.edition for each in records} - self._known.keys()
            if wanted:
                self._known |= self._editions(wanted)
            rated = columnar.rate(columnar.columns(records), self._known, None, {})
            sold += [
                Sold(each.customer, each.model, each.currency, each.amount_pico)
                for each in totals(rated.table)
                if each.side == "charge"
            ]
