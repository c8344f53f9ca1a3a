"""Rated: a batch of calls, each once, with its lines."""

from __future__ import annotations

from collections.abc import Mapping

from steelyard.clerk import bought, dedupe
from steelyard.clerk.batch import Gathered
from steelyard.clerk.drawn import Before, Drawn
from steelyard.ledger.chain import Batch
from steelyard.rating import columnar
from steelyard.rating.counting import Counter, counts
from steelyard.values import periods


def draw(before: Before, gathered: Gathered) -> Drawn:
    """Rate the calls that were gathered, and take in the facts.

    Counters are only asked for when needed.
    """
    first_open = before.head().first_open
    sifted = dedupe.sift(gathered.records, before.digests)
    told = dedupe.sift_facts(gathered.facts, before.facts)
    editions = before.editions({record.edition for record in sifted.records})
    used = sorted(editions)
    known = bought.documents(
        {number: editions[number][1] for number in used},
        lambda: [*(each.fact for each in before.facts()), *told.facts],
        max((record.at_us for record in sifted.records), default=0),
    )
    opens = periods.month(first_open) if first_open else None
    counters: Mapping[Counter, int] = {}
    if any(map(counts, known.values())):
        counters = before.counters(first_open)
    found = columnar.rate(columnar.columns(sifted.records), known, opens, counters)
    unrated = [dedupe.set_aside(sifted.records[each.row], each.reason) for each in found.unrated]
    return Drawn(
        kind="calls",
        made_from="",
        table=found.table,
        editions=tuple((number, editions[number][0]) for number in used),
        operator=known[used[-1]].operator if used else "",
        counters=tuple(sorted(found.counters.items())),
        ranges=gathered.ranges,
        calls=sifted.calls,
        duplicates=sifted.duplicates,
        set_aside=[*sifted.conflicts, *unrated, *told.conflicts],
        facts=told.facts,
    )


def again(before: Before, batch: Batch) -> Drawn:
    """Draw up a booked batch of calls again."""
    return draw(before, before.read(batch.ranges))
