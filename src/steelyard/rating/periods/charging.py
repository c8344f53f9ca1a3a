"""Charging: all that is due by period under a contract in a month, and what of it is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from steelyard.catalogue.documents import Contract, Edition
from steelyard.catalogue.items.kinds import (
    Bundle,
    Commitment,
    Dedicated,
    Fee,
    Item,
    Licence,
    Project,
    Savings,
    ServiceLevel,
    Throughput,
    Training,
)
from steelyard.rating.lines import Line, LineSum
from steelyard.rating.periods import (
    commitments,
    dedicated,
    draws,
    fees,
    levels,
    projects,
    reported,
    throughput,
)
from steelyard.rating.periods.lining import Draft, lines
from steelyard.rating.periods.told import Charged, Deposit, Due, Span, Told
from steelyard.values import periods
from steelyard.values.events import Event
from steelyard.values.periods import Month

BY_EVENT: Mapping[type, Callable[[Told[Any], Span], Iterator[Due]]] = {
    Fee: fees.dues,
    Savings: draws.paid,
    Throughput: throughput.dues,
    Dedicated: dedicated.dues,
    Project: projects.dues,
    Licence: reported.licence,
    Training: reported.training,
}
"""What is due of an item by what happened to it alone, by the kind of the item."""

BY_CHARGES: Mapping[type, Callable[[Told[Any], Span, Any], Iterator[Due]]] = {
    Commitment: commitments.dues,
    ServiceLevel: levels.dues,
}
"""What is due of an item by what was charged, in the order in which it is worked out."""

NOT_COUNTED = frozenset({"shortfalls", "service_credits", "breakage"})
"""Meters of charges that no commitment and no credit counts."""

Calls = Callable[[str, Month, int, int], Sequence[LineSum]]
"""The sums of a contract's calls in a month, between two instants of it."""


class Known(NamedTuple):
    """What a contract's month is charged from, besides its documents.

    ``events`` are those of the contract in their order; ``before`` the lines of its earlier months.
    """

    events: Sequence[Event]
    calls: Calls
    before: Sequence[Line]


def charge(edition: Edition, contract: str, known: Known, month: Month) -> list[Line]:
    """All that is due under a contract in a month, item by item and then in order of time."""
    versions = sorted(
        (each for each in edition.contracts if each.id == contract),
        key=lambda each: each.valid_from_us,
    )
    if not any(each.items for each in versions):
        return []
    span = Span(month, *periods.bounds_us(month, versions[0].zone))
    told = tell(versions, known.events)
    by_kind = [(name, item, _kind(item)) for name, item in told.items()]
    drafts = [
        Draft(name, due)
        for name, item, kind in by_kind
        if kind in BY_EVENT
        for due in BY_EVENT[kind](item, span)
    ]

    def calls(asked: Month, from_us: int, until_us: int) -> list[Charged]:
        sums = known.calls(contract, asked, from_us, until_us)
        return [
            Charged(each.model, each.meter, each.units, each.amount_pico)
            for each in sums
            if each.side == "charge"
        ]

    by_use = any(
        isinstance(each, Bundle) and each.by == "use" for v in versions for each in v.items
    )
    of_calls = calls(month, span.start_us, span.end_us) if by_use else []
    own = [*lines(edition, versions, drafts, of_calls)]

    def used(asked: Month, from_us: int, until_us: int) -> list[Charged]:
        return calls(asked, from_us, until_us) + [
            Charged(each.model, each.meter, each.units, each.amount_pico, by_call=False)
            for each in (*known.before, *own)
            if each.side == "charge"
            and each.meter not in NOT_COUNTED
            and from_us <= each.at_us < until_us
        ]

    more = [
        Draft(name, due)
        for of, by_charges in BY_CHARGES.items()
        for name, item, kind in by_kind
        if kind is of
        for due in by_charges(item, span, used)
    ]

    def left(item: str, name: str, account: Deposit) -> int:
        return _left([*known.before, *own], f"{item}:{name}" if name else item, account)

    savings = [(name, item) for name, item, kind in by_kind if kind is Savings]
    budgets = [(name, item) for name, item, kind in by_kind if kind is Project]
    open_ = draws.purses(savings, budgets, span, left)
    more += [Draft(name, due) for name, due in draws.draw(open_, span, calls, versions[0].currency)]
    return [*own, *lines(edition, versions, more, of_calls)]


def news(
    wanted: Sequence[Line], booked: Sequence[Line], zone: str, first_open: Month | None
) -> list[Line]:
    """What is wanted of a contract less what is booked: nothing where they are the same.

    What is not wanted any more comes back as a line of negative units that is otherwise the same,
    so that it names what it takes back. What belongs to a closed month goes into the first open.
    """
    missing: Counter[Line] = Counter()
    for line in wanted:
        missing[_bare(line)] += line.units
    for line in booked:
        missing[_bare(line)] -= line.units
    found: list[Line] = []
    for line, units in missing.items():
        month = periods.month_of(line.at_us, zone)
        period = str(month if first_open is None else max(month, first_open))
        amount_pico = units * line.price_pico
        if units:
            changes = {"units": units, "amount_pico": amount_pico, "period": period}
            found.append(msgspec.structs.replace(line, **changes))
    return found


def _bare(line: Line) -> Line:
    """A line without its units and without the month into which it was booked."""
    return msgspec.structs.replace(line, units=0, amount_pico=0, period="")


def tell(versions: Sequence[Contract], happened: Sequence[Event]) -> dict[str, Told[Any]]:
    """Each item that some version has, with its events, in the order of the newest version."""
    names = {item.id: item for version in versions for item in version.items}
    found: dict[str, Told[Any]] = {}
    for name in names:
        by_version = [(each.valid_from_us, _named(each, name)) for each in versions]
        first = next(place for place, (_, item) in enumerate(by_version) if item is not None)
        found[name] = Told(
            versions[0].id,
            versions[0].currency,
            versions[0].zone,
            tuple(by_version[first:]),
            tuple(each for each in happened if each.about == name),
        )
    return found


def _named(version: Contract, name: str) -> Item | None:
    return next((each for each in version.items if each.id == name), None)


def _kind(item: Told[Any]) -> type:
    """An item has one kind in all its versions."""
    kinds: list[type] = [type(each) for _, each in item.versions if each is not None]
    return kinds[0]


def _left(before: Sequence[Line], model: str, account: Deposit) -> int:
    """What was deposited and not drawn on: of one purse. Unit: pico-units."""
    return sum(
        each.amount_pico
        for each in before
        if each.side == "deposit" and each.component == account and each.model == model
    )
