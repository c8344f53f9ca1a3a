"""Takings: what the calls that come into a journal are charged, as the books will charge them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from steelyard.catalogue.documents import Edition
from steelyard.clerk.batch import Journal
from steelyard.lab.pulse import Sold
from steelyard.rating import columnar
from steelyard.rating.counting import Counter
from steelyard.rating.totals import totals
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord

CALLS_AT_ONCE = 20_000

Editions = Callable[[Iterable[int]], Mapping[int, Edition]]
"""The recorded editions among some numbers."""


class Standing(NamedTuple):
    """Where the books stand: how far they have read, and what they have counted until there."""

    cursors: Mapping[str, int]
    counters: Mapping[Counter, int]
    first_open: Month | None


class Takings:
    """Follows a journal from where the books stand."""

    def __init__(self, journal: Path, books: Standing, editions: Editions) -> None:
        self._journal = Journal(journal)
        self._cursors = dict(books.cursors)
        self._counters = dict(books.counters)
        self._first_open = books.first_open
        self._editions = editions
        self._known: dict[int, Edition] = {}

    def more(self) -> list[Sold]:
        """What was charged for the calls that came since the last time, or are not booked yet.

        Unit: pico-units; exactly what the books will have, as long as nothing is booked twice.
        """
        sold: list[Sold] = []
        while True:
            gathered = self._journal.gather(self._cursors, CALLS_AT_ONCE)
            if not gathered.records:
                return sold
            self._cursors |= {each.segment: each.end for each in gathered.ranges}
            wanted = {each.edition for each in gathered.records} - self._known.keys()
            if wanted:
                self._known |= self._editions(wanted)
            calls = columnar.columns(gathered.records)
            rated = columnar.rate(calls, self._known, self._first_open, self._counters)
            self._counters |= rated.counters
            sold += [
                Sold(each.customer, each.model, each.currency, each.amount_pico)
                for each in totals(_live(rated.table, gathered.records))
                if each.side == "charge"
            ]


def _live(lines: pa.Table, records: Sequence[UsageRecord]) -> pa.Table:
    """The lines of what the gateway did; what is imported counts, and is not shown."""
    if all(each.origin == "live" for each in records):
        return lines
    live = pa.array([each.call_id for each in records if each.origin == "live"], pa.binary(16))
    ids = lines.column("call_id").cast(pa.binary(16))
    return lines.filter(pc.is_in(ids, value_set=live))
