"""Bought: documents with what the journal's facts say that customers have bought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from steelyard.catalogue.documents import Edition
from steelyard.rating.periods import included
from steelyard.values import events
from steelyard.values.events import Event
from steelyard.values.facts import Fact


def documents(
    editions: Mapping[int, Edition],
    facts: Callable[[], Iterable[Fact]],
    last_us: int,
) -> Mapping[int, Edition]:
    """The editions as they price calls up to an instant.

    Facts are only asked for where they matter. Unit: µs since 1970-01-01 UTC.
    """
    if not any(map(included.sells, editions.values())):
        return editions
    happened: defaultdict[str, list[Event]] = defaultdict(list)
    for fact in facts():
        event = events.of_fact(fact)
        if event is not None:
            happened[event.contract].append(event)
    for each in happened.values():
        each.sort(key=events.order)
    return {
        number: included.with_bought(edition, happened, last_us + 1)
        for number, edition in editions.items()
    }
