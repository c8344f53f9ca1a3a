"""Draws: what charges take from what was paid in advance, and what is left of it at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Literal, NamedTuple

from steelyard.catalogue.items.kinds import Project, Savings
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Deposit, Due, Span, Told, Used
from steelyard.values import money, periods

Left = Callable[[str, str, Deposit], int]
"""What is left of a deposit before a month: of an item, a name and an account. Unit: pico-units."""


class Purse(NamedTuple):
    """Something that was paid in advance, for calls from an instant to another. Unit: pico-units.

    ``rest`` says what becomes of what is left at the end; None: it is not over yet.
    """

    item: str
    name: str
    account: Deposit
    begin_us: int
    end_us: int
    left_pico: int
    counts: tuple[str, ...]
    rest: Literal["kept", "returned"] | None


def paid(item: Told[Savings], span: Span) -> Iterator[Due]:
    """The savings plans that are bought in a month."""
    for name, begin_us, _, plan in _bought(item):
        if span.holds(begin_us):
            for due in told.deposit(begin_us, name, "prepaid", plan.amount_pico):
                yield due._replace(name=name)


def purses(
    savings: Sequence[tuple[str, Told[Savings]]],
    projects: Sequence[tuple[str, Told[Project]]],
    span: Span,
    left: Left,
) -> list[Purse]:
    """What may be drawn on in a month, in the order in which it is: what ends first, the oldest."""
    found: list[Purse] = []
    for name, item in savings:
        for bought, begin_us, end_us, plan in _bought(item):
            if begin_us < span.end_us:
                rest = plan.rest if end_us <= span.end_us else None
                purse = Purse(name, bought, "prepaid", begin_us, end_us, 0, plan.counts, rest)
                found.append(purse)
    for name, item in projects:
        for stretch in told.stretches(item.events, alone=True)[:1]:
            project = item.at(stretch.begin_us)
            if project is None or stretch.begin_us >= span.end_us or not project.budget_pico:
                continue
            ended = stretch.end_us is not None and stretch.end_us <= span.end_us
            end_us = span.end_us if stretch.end_us is None else stretch.end_us
            rest = "returned" if ended else None
            purse = Purse(name, "", "budget", stretch.begin_us, end_us, 0, project.counts, rest)
            found.append(purse)
    filled = [each._replace(left_pico=left(each.item, each.name, each.account)) for each in found]
    return sorted(
        (each for each in filled if each.left_pico > 0),
        key=lambda each: (each.end_us, each.begin_us, each.item, each.name),
    )


def draw(
    open_: Sequence[Purse], span: Span, used: Used, currency: str
) -> Iterator[tuple[str, Due]]:
    """What the calls of a month draw on the purses, and what becomes of those that end in it.

    Calls draw on purses that have begun when they are made, and have not ended; never before. What
    a month draws is rounded to whole coins, half to even.
    """
    left = [each.left_pico for each in open_]
    drawn = [0] * len(open_)
    edges = {span.start_us, span.end_us}
    for purse in open_:
        edges |= {us for us in (purse.begin_us, purse.end_us) if span.holds(us)}
    for from_us, until_us in pairwise(sorted(edges)):
        active = [
            place
            for place, purse in enumerate(open_)
            if purse.begin_us <= from_us and purse.end_us >= until_us
        ]
        for charged in used(span.month, from_us, until_us) if active else ():
            rest_pico = charged.amount_pico
            for place in active:
                if any(fnmatchcase(charged.model, each) for each in open_[place].counts):
                    part_pico = min(rest_pico, left[place])
                    left[place] -= part_pico
                    drawn[place] += part_pico
                    rest_pico -= part_pico
    for purse, drawn_pico in zip(open_, drawn, strict=True):
        # Never before it was paid, also where it ends in the instant in which it began.
        at_us = max(min(purse.end_us, span.end_us) - 1, purse.begin_us)
        coins_pico = money.to_coin(drawn_pico, 1, currency)
        left_pico = purse.left_pico - min(coins_pico, purse.left_pico)
        moves = [*told.deposit(at_us, f"{span.month}", purse.account, left_pico - purse.left_pico)]
        if purse.rest is not None:
            moves += told.deposit(at_us, "end", purse.account, -left_pico)
        if purse.rest == "kept" and left_pico:
            moves += told.amount(Due(at_us, "end", "breakage", 1, 0), left_pico)
        for due in moves:
            yield purse.item, due._replace(name=purse.name)


class _Bought(NamedTuple):
    """A savings plan from when it is bought to when it ends."""

    name: str
    begin_us: int
    end_us: int
    plan: Savings


def _bought(item: Told[Savings]) -> Iterator[_Bought]:
    """Each time that a plan is bought, under a name of its own: a second time changes nothing."""
    known: set[str] = set()
    begins: list[tuple[int, str]] = []
    first = item.versions[0][1]
    if first is not None and first.since is not None:
        begins.append((periods.midnight_us(date.fromisoformat(first.since), item.zone), ""))
    begins += [(each.at_us, each.name) for each in item.events if each.what == "begun"]
    for begin_us, name in begins:
        plan = item.at(begin_us)
        if plan is not None and name not in known:
            known.add(name)
            last = periods.months_later(periods.day_of(begin_us, item.zone), plan.months)
            yield _Bought(name, begin_us, periods.midnight_us(last, item.zone), plan)
