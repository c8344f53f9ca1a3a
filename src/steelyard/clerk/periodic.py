"""Periodic: the batch of what is charged by period and by event, and not by the call.

An order to charge a month is a fact. Carrying it out books what is due by then less what such
batches have booked before, so that a second one books nothing; what events that came late change
of closed months goes into the first open one, and says which month it is of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec
import pyarrow as pa

from steelyard.catalogue.documents import Contract, Edition
from steelyard.catalogue.items.kinds import Commitment, Fee, Savings
from steelyard.clerk.drawn import Before, Drawn, Editions
from steelyard.ledger.chain import Batch
from steelyard.rating.lines import Line, LineSum
from steelyard.rating.periods.charging import Known, charge, news
from steelyard.rating.schema import CORRECTION_SCHEMA, SCHEMA
from steelyard.values import events, periods
from steelyard.values.events import Event
from steelyard.values.facts import Fact
from steelyard.values.periods import Month

_SCHEMA: Any = CORRECTION_SCHEMA  # its stubs don't know the types of fields

FACT_KIND = "charge"
"""Under which kind a fact's body is an ``Order``."""


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To book what is due up to the end of a month, under the documents of an edition.

    With ``until_us`` only what is due before that instant: µs since 1970-01-01 UTC. Closed months
    are charged by the documents that closed them; those from ``again_from`` on by this edition.
    """

    period: str
    edition: int
    until_us: int | None = None
    again_from: str | None = None


def fact(order: Order, at_us: int, fact_id: bytes) -> Fact:
    """An order as a fact of the journal."""
    body = msgspec.json.encode(order).decode()
    return Fact(fact_id=fact_id, at_us=at_us, kind=FACT_KIND, body=body)


class Made(msgspec.Struct, frozen=True):
    """What such a batch is made from: the facts that order it, by their ids in hexadecimal."""

    facts: tuple[str, ...]


class _Run(NamedTuple):
    """What is charged: up to which month or instant, and under which documents.

    ``again`` are months that are charged again though nothing happened.
    """

    before: Before
    last: Month
    until_us: int | None
    edition: int
    editions: Editions
    contracts: Mapping[str, list[Contract]]
    """Those of which something can be due, as each edition has them, the newest edition's last."""
    closed: Mapping[str, int]
    """The edition by which each closed month is charged."""
    again: Sequence[Month]
    covered: tuple[Month, int] | None
    """The last month that was charged before, and the number of the batch that did it."""
    sums: dict[tuple[Month, int | None, int | None], Mapping[str, list[LineSum]]]
    """What was asked of the calls so far, by contract."""


def pending(before: Before) -> list[Fact]:
    """The orders to charge that no batch has carried out."""
    last = max((each.number for each in before.batches() if each.kind == "period"), default=0)
    found = [each for each in before.facts() if each.fact.kind == FACT_KIND]
    return [each.fact for each in found if each.batch > last]


def draw(before: Before, facts: Sequence[Fact]) -> Drawn:
    """Carry out what the facts order: up to the latest month, under the newest documents."""
    orders = [msgspec.json.decode(each.body, type=Order) for each in facts]
    run = _run(before, orders)
    edition = run.editions[run.edition][1]
    booked = _booked(before)
    happened = _events(before)
    lines: list[Line] = []
    for contract in sorted(run.contracts):
        lines += _charged(run, contract, happened[contract], booked[contract])
    return Drawn(
        kind="period",
        made_from=msgspec.json.encode(Made(tuple(each.fact_id.hex() for each in facts))).decode(),
        table=_table(lines, {name: each[-1].zone for name, each in run.contracts.items()}),
        editions=tuple((number, run.editions[number][0]) for number in sorted(run.editions)),
        operator=edition.operator,
    )


def again(before: Before, batch: Batch) -> Drawn:
    """Draw up a booked batch of this kind again."""
    return draw(before, _named(before, [batch]))


def _named(before: Before, batches: Iterable[Batch]) -> list[Fact]:
    """The orders that batches were made from."""
    known = {each.fact.fact_id.hex(): each.fact for each in before.facts()}
    named = [msgspec.json.decode(each.made_from, type=Made).facts for each in batches]
    return [known[each] for names in named for each in names if each in known]


def _run(before: Before, orders: Sequence[Order]) -> _Run:
    done = [each for each in before.batches() if each.kind == "period"]
    past = [msgspec.json.decode(each.body, type=Order) for each in _named(before, done)]
    covered: tuple[Month, int] | None = None
    if done:
        covered = (max(periods.month(each.period) for each in past), done[-1].number)
    closed = dict(before.closed())
    for order in (*past, *orders):
        if order.again_from is not None:
            closed |= {each: order.edition for each in closed if each >= order.again_from}
    edition = max(each.edition for each in orders)
    editions = before.editions({edition, *closed.values()})
    untils = [each.until_us for each in orders]
    return _Run(
        before=before,
        last=max(periods.month(each.period) for each in orders),
        until_us=None if None in untils else max(each for each in untils if each is not None),
        edition=edition,
        editions=editions,
        contracts=_contracts(editions, edition),
        closed=closed,
        again=[periods.month(each.again_from) for each in orders if each.again_from],
        covered=covered,
        sums={},
    )


def _contracts(editions: Editions, newest: int) -> dict[str, list[Contract]]:
    found: defaultdict[str, list[Contract]] = defaultdict(list)
    for number in sorted(editions, key=lambda each: (each == newest, each)):
        for version in editions[number][1].contracts:
            found[version.id].append(version)
    return {name: each for name, each in found.items() if any(one.items for one in each)}


def due(before: Before, order: Order, contract: str) -> list[Line]:
    """All that is due of a contract in a period, booked or not, as it stands now."""
    run = _run(before, [order])
    if contract not in run.contracts:
        return []
    booked = _booked(before)[contract]
    happened = _events(before)[contract]
    zone, _, wanted = _wanted(run, contract, happened, booked)
    return [each for each in wanted if periods.month_of(each.at_us, zone) == run.last]


def _wanted(
    run: _Run, contract: str, happened: Sequence[tuple[int, Event]], booked: Sequence[Line]
) -> tuple[str, Month, list[Line]]:
    """What is due of a contract from a month on: its zone, the month, and the lines."""
    versions = run.contracts[contract]
    zone = versions[-1].zone
    month = first = _first(run, contract, versions, happened)
    earlier = [each for each in booked if periods.month_of(each.at_us, zone) < first]
    told = sorted((event for _, event in happened), key=events.order)
    wanted: list[Line] = []
    while month <= run.last:
        known = Known(told, partial(_calls, run, zone), [*earlier, *wanted])
        wanted += charge(_edition(run, contract, month), contract, known, month)
        month = periods.following(month)
    return zone, first, wanted


def _charged(
    run: _Run, contract: str, happened: Sequence[tuple[int, Event]], booked: Sequence[Line]
) -> list[Line]:
    """The lines of one contract that are not booked yet."""
    zone, first, wanted = _wanted(run, contract, happened, booked)
    later = [each for each in booked if first <= periods.month_of(each.at_us, zone) <= run.last]
    if run.until_us is not None:
        wanted = [each for each in wanted if each.at_us < run.until_us]
        later = [each for each in later if each.at_us < run.until_us]
    opens = run.before.head().first_open
    return news(wanted, later, zone, periods.month(opens) if opens else None)


def _edition(run: _Run, contract: str, month: Month) -> Edition:
    """The documents of a month: those that closed it, unless the contract is newer than that."""
    number = run.closed.get(str(month), run.edition)
    found = run.editions[number][1]
    if any(each.id == contract for each in found.contracts):
        return found
    return run.editions[run.edition][1]


def _first(
    run: _Run,
    contract: str,
    versions: Sequence[Contract],
    happened: Iterable[tuple[int, Event]],
) -> Month:
    """From which month on something may have changed since the last such batch."""
    zone = versions[-1].zone
    found = [run.last, *run.again]
    since = 0
    covered = run.covered
    if covered is not None:
        number = run.closed.get(str(covered[0]), run.edition)
        known = run.editions[number][1].contracts
        if not any(each.id == contract for each in known):
            covered = None
    if covered is not None:
        found.append(covered[0])
        since = covered[1]
    else:
        found += _begins(versions)
    found += [periods.month_of(each.at_us, zone) for batch, each in happened if batch > since]
    return min(found)


def _begins(versions: Iterable[Contract]) -> Iterator[Month]:
    """The months with which the items of a contract begin by themselves."""
    for version in versions:
        for item in version.items:
            day: str | None = None
            if isinstance(item, Fee | Savings):
                day = item.since
            elif isinstance(item, Commitment):
                day = item.phases[0].since
            if day is not None:
                begins = date.fromisoformat(day)
                yield Month(begins.year, begins.month)


def _calls(
    run: _Run, zone: str, contract: str, month: Month, from_us: int, until_us: int
) -> Sequence[LineSum]:
    """The sums of a contract's calls that are invoiced in a month, from one instant to another.

    A call that was booked late is of its invoice's month from that month's first instant on.
    """
    start_us, end_us = periods.bounds_us(month, zone)
    lower = None if from_us <= start_us else from_us
    upper = None if until_us >= end_us else until_us
    if (month, lower, upper) not in run.sums:
        by_contract: defaultdict[str, list[LineSum]] = defaultdict(list)
        for each in run.before.call_sums(str(month), lower, upper):
            by_contract[each.contract].append(each)
        run.sums[month, lower, upper] = by_contract
    return run.sums[month, lower, upper].get(contract, [])


def _events(before: Before) -> defaultdict[str, list[tuple[int, Event]]]:
    """What happened, by contract, each with the batch that booked it."""
    found: defaultdict[str, list[tuple[int, Event]]] = defaultdict(list)
    for each in before.facts():
        event = events.of_fact(each.fact)
        if event is not None:
            found[event.contract].append((each.batch, event))
    return found


def _booked(before: Before) -> defaultdict[str, list[Line]]:
    """The lines of all such batches, by contract."""
    found: defaultdict[str, list[Line]] = defaultdict(list)
    for batch in before.batches():
        if batch.kind == "period":
            rows: list[dict[str, Any]] = before.lines(batch.number).select(SCHEMA.names).to_pylist()
            for row in rows:
                row["amount_pico"] = int(row["amount_pico"])
                found[row["contract"]].append(Line(**row))
    return found


def _table(lines: Sequence[Line], zones: Mapping[str, str]) -> pa.Table:
    """Lines as columns; each says of which month it is, should it be booked into a later one."""
    rows = [msgspec.structs.asdict(line) for line in lines]
    for row in rows:
        row["of_period"] = str(periods.month_of(row["at_us"], zones[row["contract"]]))
        row["corrects"] = row["calls"] = 0
    columns = [_column(field.type, [row[field.name] for row in rows]) for field in _SCHEMA]
    return pa.table(columns, schema=CORRECTION_SCHEMA)


def _column(kind: Any, values: list[Any]) -> Any:  # noqa: ANN401 - its stubs know no more
    if not pa.types.is_dictionary(kind):
        return cast("Any", pa.array(values, kind))
    return cast("Any", pa.array(values, kind.value_type)).dictionary_encode().cast(kind)
