"""Corrected: the batch that leads from what was booked of some calls to what is right.

Its calls are rated again in the order in which they were booked, each under what holds for it by
now; lines that differ from those in the books are taken back and put again. Under a contract with
counters all calls are, from the first one on: where one call leaves something else for the next,
the next is corrected by the same run, in whatever month it is. So the books are afterwards what
they would have been, had it all been right when it was booked, and the counters too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
import pyarrow as pa
import pyarrow.compute

from steelyard.clerk import bought, dedupe
from steelyard.clerk.books import SetAside
from steelyard.clerk.drawn import Before, Drawn, Editions
from steelyard.clerk.noting import Noted, note, noted_months
from steelyard.ledger.chain import Batch
from steelyard.rating import columnar
from steelyard.rating.corrections import (
    FACT_KIND,
    Applied,
    Correction,
    Corrections,
    corrected,
    zones,
)
from steelyard.rating.counting import Counter, counted
from steelyard.rating.differing import differences, joined, summed
from steelyard.values import periods
from steelyard.values.facts import Fact
from steelyard.values.usage import UsageRecord

pc: Any = pyarrow.compute  # its stubs know nothing of numbers beside arrays


class Made(msgspec.Struct, frozen=True):
    """What a correction is made from: the facts that order it, by their ids in hexadecimal."""

    facts: tuple[str, ...]


class _Run(NamedTuple):
    """A run over the calls of all batches. ``fresh`` is carried out by it, ``past`` was before."""

    before: Before
    fresh: Corrections
    past: Corrections
    all: Corrections
    editions: Editions
    counting: frozenset[str]
    """The contracts of which each call is rated again."""
    earlier: Sequence[pa.Table]
    """The lines of earlier corrections."""


class _Rerated(NamedTuple):
    """What came out for a batch: the lines to add, and the calls that kept their price, or none."""

    lines: pa.Table
    counters: Mapping[Counter, int]
    unrated: list[SetAside]
    editions: set[int]


def pending(before: Before) -> list[Fact]:
    """The orders to correct that no batch has carried out."""
    last = max((each.number for each in before.batches() if each.kind == "correction"), default=0)
    found = [each for each in before.facts() if each.fact.kind == FACT_KIND]
    return [each.fact for each in found if each.batch > last]


def draw(
    before: Before, facts: Sequence[Fact], told: Callable[[int], None] = lambda _: None
) -> Drawn:
    """Carry out what the facts order; ``told`` hears of each batch whose calls were looked at."""
    batches = list(before.batches())
    run = _run(before, batches, facts)
    counters: dict[Counter, int] = {}
    found: list[_Rerated] = []
    for batch in _batches(run, batches):
        each = _rerate(run, batch, counters)
        counters |= each.counters
        found.append(each)
        told(batch.number)
    orders = [each.correction for each in _applied(before, facts, 0)]
    used = sorted({order.edition for order in orders}.union(*(each.editions for each in found)))
    head, issued = before.head(), before.issued()
    edition = run.editions[orders[-1].edition][1] if orders else None
    noted = frozenset[tuple[str, str]]() if edition is None else noted_months(issued, edition)
    table = joined([_placed(each.lines, head.first_open, noted) for each in found])
    closed = [each for each in summed(table) if head.first_open and each.period < head.first_open]
    made = Noted((), ())
    if edition is not None:
        ordered_us = max(each.at_us for each in facts)
        reason = "; ".join(dict.fromkeys(order.reason for order in orders if order.reason))
        made = note(closed, issued, edition, ordered_us, reason)
    return Drawn(
        kind="correction",
        made_from=msgspec.json.encode(Made(tuple(each.fact_id.hex() for each in facts))).decode(),
        table=table,
        editions=tuple((number, run.editions[number][0]) for number in used),
        operator="" if edition is None else edition.operator,
        counters=_changed(before, run.counting, counters),
        set_aside=[aside for each in found for aside in each.unrated],
        documents=made.documents,
        moves=made.moves,
    )


def again(before: Before, batch: Batch) -> Drawn:
    """Draw up a booked correction again."""
    named = msgspec.json.decode(batch.made_from, type=Made).facts
    known = {each.fact.fact_id.hex(): each.fact for each in before.facts()}
    return draw(before, [known[each] for each in named if each in known])


def _run(before: Before, batches: Sequence[Batch], facts: Sequence[Fact]) -> _Run:
    number = before.head().batch + 1
    known = {each.fact.fact_id.hex(): each.fact for each in before.facts()}
    past: list[Applied] = []
    earlier: list[pa.Table] = []
    for batch in batches:
        if batch.kind == "correction":
            named = msgspec.json.decode(batch.made_from, type=Made).facts
            past += _applied(before, [known[each] for each in named], batch.number)
            earlier.append(before.lines(batch.number))
    fresh = _applied(before, facts, number)
    orders = [each.correction for each in (*past, *fresh)]
    wanted = {edition for batch in batches for edition, _ in batch.editions}
    wanted |= {order.edition for order in orders}
    wanted |= {getattr(order.change, "under", order.edition) for order in orders}
    editions = before.editions(wanted)
    run = _Run(
        before=before,
        fresh=Corrections(fresh),
        past=Corrections(past),
        all=Corrections([*past, *fresh]),
        editions=editions,
        counting=frozenset(),
        earlier=earlier,
    )
    return run._replace(counting=_counting(run, batches))


def _applied(before: Before, facts: Iterable[Fact], batch: int) -> list[Applied]:
    """What facts order, as carried out by a batch; an edition that nobody knows orders nothing."""
    orders = [msgspec.json.decode(each.body, type=Correction) for each in facts]
    editions = before.editions({order.edition for order in orders})
    return [
        Applied(batch=batch, correction=order, zones=zones(editions[order.edition][1]))
        for order in orders
        if order.edition in editions
    ]


def _counting(run: _Run, batches: Sequence[Batch]) -> frozenset[str]:
    """The contracts that calls to be corrected are of, and under which calls are counted."""
    contracts = [each for _, edition in run.editions.values() for each in edition.contracts]
    touched = {each.id for each in contracts if run.fresh.may_touch(each.customer, each.id)}
    homes = {batch for _, batch in run.before.calls(list(run.fresh.calls)).values()}
    for batch in batches:
        if batch.number in homes:
            touched |= {
                record.contract
                for record in _records(run.before, batch)
                if run.fresh.of(record, batch.number)
            }
    return frozenset(each.id for each in contracts if each.id in touched and counted(each))


def _batches(run: _Run, batches: Sequence[Batch]) -> list[Batch]:
    """Those whose calls are looked at."""
    found = [each for each in batches if each.kind == "calls"]
    if run.counting or not run.fresh.named_only:
        return found
    homes = {batch for _, batch in run.before.calls(list(run.fresh.calls)).values()}
    return [each for each in found if each.number in homes]


def _records(before: Before, batch: Batch) -> list[UsageRecord]:
    """The calls that a batch booked, in its order: of each the first record."""
    records = before.read(batch.ranges).records
    booked = before.calls([record.call_id for record in records])
    first: dict[bytes, UsageRecord] = {}
    for record in records:
        if booked.get(record.call_id, (b"", 0))[1] == batch.number:
            first.setdefault(record.call_id, record)
    return list(first.values())


def _rerate(run: _Run, batch: Batch, counters: Mapping[Counter, int]) -> _Rerated:
    """Rate a batch's calls again; one that would have no price any more keeps what it had."""
    number = batch.number
    records = [
        record
        for record in _records(run.before, batch)
        if record.contract in run.counting or run.fresh.of(record, number)
    ]
    right = [corrected(record, run.all.of(record, number)) for record in records]
    found = _rate(run, batch, right, counters)
    unrated: list[SetAside] = []
    for each in found.unrated:
        record = records[each.row]
        if run.fresh.of(record, number):
            unrated.append(dedupe.set_aside(record, each.reason))
            right[each.row] = corrected(record, run.past.of(record, number))
    if unrated:
        found = _rate(run, batch, right, counters)
    ids = pa.array([record.call_id for record in records], pa.binary(16))
    booked = [_of_calls(each, ids) for each in (run.before.lines(number), *run.earlier)]
    return _Rerated(
        lines=differences(booked, found.table, number),
        counters=found.counters,
        unrated=unrated,
        editions={record.edition for record in right} & run.editions.keys(),
    )


def _rate(
    run: _Run, batch: Batch, records: Sequence[UsageRecord], counters: Mapping[Counter, int]
) -> columnar.Rated:
    known = bought.documents(
        {number: each for number, (_, each) in run.editions.items()},
        lambda: [each.fact for each in run.before.facts() if each.batch <= batch.number],
        max((record.at_us for record in records), default=0),
    )
    opens = periods.month(batch.first_open) if batch.first_open else None
    return columnar.rate(columnar.columns(records), known, opens, counters)


def _of_calls(table: pa.Table, ids: pa.Array[Any]) -> pa.Table:
    return table.filter(pc.is_in(table["call_id"].cast(pa.binary(16)), value_set=ids))


def _placed(lines: pa.Table, first_open: str | None, noted: frozenset[tuple[str, str]]) -> pa.Table:
    """The lines in the months that they are invoiced and settled with.

    What is of a closed month stays there if a note corrects it, or goes into the first open one.
    """
    if first_open is None or not lines.num_rows:
        return lines
    contracts = cast("list[str]", lines["contract"].to_pylist())
    booked = cast("list[str]", lines["of_period"].to_pylist())
    months = [
        period if period >= first_open or (contract, period) in noted else first_open
        for contract, period in zip(contracts, booked, strict=True)
    ]
    place = lines.column_names.index("period")
    return lines.set_column(place, "period", pa.array(months, pa.string()))


def _changed(
    before: Before, contracts: frozenset[str], counters: Mapping[Counter, int]
) -> tuple[tuple[Counter, int], ...]:
    """The counters of contracts as they should stand, where they do not; what is gone is zero."""
    if not contracts:
        return ()
    stood = {key: n for key, n in before.counters(None).items() if key.contract in contracts}
    right = {key: n for key, n in counters.items() if key.contract in contracts}
    return tuple(
        (key, right.get(key, 0))
        for key in sorted({*stood, *right})
        if stood.get(key, 0) != right.get(key, 0)
    )
