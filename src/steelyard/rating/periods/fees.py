"""Fees: terms, and what changes within them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import count, pairwise
from typing import Literal, NamedTuple

import msgspec

from steelyard.catalogue.items.kinds import Fee, Plan
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Due, Span, Stretch, Told
from steelyard.values import money, periods
from steelyard.values.events import Event

_DAY = timedelta(days=1)
_THIRTY = 30


class Term(NamedTuple):
    """A month, quarter or year of a fee: its days, the last not included, and its instants.

    The days before ``paid_from`` are not charged; there are none but in a first calendar term.
    """

    first: date
    last: date
    paid_from: date
    start_us: int
    end_us: int


class Step(NamedTuple):
    """Something to pay, or to give back, of a term: ``units`` of a plan for the days from one on.

    ``less`` is the plan that was paid for these days already.
    """

    kind: Literal["term", "plan", "count", "end"]
    at_us: int
    occasion: str
    term: Term
    fee: Fee
    plan: Plan
    less: Plan | None
    units: int
    days: tuple[int, int]
    of: int

    def price_pico(self, currency: str) -> int:
        """What one of the units is worth for these days. Never negative: the units may be."""
        paid = 0 if self.less is None else self.less.amount_pico
        size = abs(self.plan.amount_pico - paid)
        return money.part(size, self.days, self.of, currency)


class Quota(NamedTuple):
    """Units that a fee includes from an instant to another, by what is counted."""

    from_us: int
    until_us: int
    includes: dict[str, int]


def dues(item: Told[Fee], span: Span) -> Iterator[Due]:
    """What is due of a fee in a month."""
    for step in steps(item, span.end_us):
        for due in _of_step(item, step):
            if span.holds(due.at_us):
                yield due


def quotas(item: Told[Fee], until_us: int) -> Iterator[Quota]:
    """What a fee includes in its terms that begin before an instant, and by what changed.

    What a part of a term includes is rounded up. Nothing is taken back within a term.
    """
    for step in steps(item, until_us):
        before = {} if step.less is None else step.less.includes
        left = step.days[1] - step.days[0]
        found = {
            name: money.divide_up((units - before.get(name, 0)) * step.units * left, step.of)
            for name, units in step.plan.includes.items()
        }
        includes = {name: units for name, units in found.items() if units > 0}
        if includes:
            start_us = step.term.start_us if step.kind == "term" else step.at_us
            yield Quota(start_us, step.term.end_us, includes)


def steps(item: Told[Fee], until_us: int) -> Iterator[Step]:
    """All steps of the terms that begin before an instant, in order."""
    first = item.versions[0][1]
    since_us = None
    if first is not None and first.since is not None:
        since_us = periods.midnight_us(date.fromisoformat(first.since), item.zone)
    for stretch in told.stretches(item.events, since_us, alone=True):
        yield from _stretch(item, stretch, until_us)


def _stretch(item: Told[Fee], stretch: Stretch, until_us: int) -> Iterator[Step]:
    """The terms of a fee from when it began to when it ended, one after the other."""
    fee = item.at(stretch.begin_us)
    if fee is None:
        return
    plan, units = _begins(fee, stretch.began)
    begins = periods.day_of(stretch.begin_us, item.zone)
    if fee.trial_days:
        paid_from = begins + timedelta(days=fee.trial_days)
        trial = Term(begins, paid_from, begins, stretch.begin_us, _us(paid_from, item))
        free = msgspec.structs.replace(plan, amount_pico=0)
        of = fee.trial_days
        occasion = f"{begins} trial"
        yield Step("term", trial.start_us, occasion, trial, fee, free, None, units, (0, of), of)
        begins = paid_from
    changes = [
        each
        for each in item.events
        if each.what == "changed"
        and each.at_us >= stretch.begin_us
        and (stretch.end_us is None or each.at_us < stretch.end_us)
    ]
    for term in terms(fee, begins, item.zone):
        fee = item.at(term.start_us)
        ended = stretch.end_us is not None and stretch.end_us <= term.start_us
        if term.start_us >= until_us or ended or fee is None or _over(fee, term):
            return
        plan = _plan(fee, plan.id)
        for change in changes:
            if change.at_us <= term.start_us:
                plan, units = _changed(fee, change, plan, units)
        changes = [each for each in changes if each.at_us > term.start_us]
        within = [each for each in changes if each.at_us < term.end_us]
        yield from _term(item, fee, term, (plan, units), within, stretch)


def _term(
    item: Told[Fee],
    fee: Fee,
    term: Term,
    first: tuple[Plan, int],
    changes: Sequence[Event],
    stretch: Stretch,
) -> Iterator[Step]:
    """A term's own step, and those of what changed within it.

    What is paid for is remembered: what was made cheaper and dearer again is not paid twice.
    """
    plan, units = paid, paid_units = first
    of = _days(term) if fee.prorate != "thirtieths" else fee.months * _THIRTY
    begins = of - _left(term, term.paid_from, of)
    occasion = f"{term.first}"
    start_us = max(term.start_us, stretch.begin_us, _us(term.paid_from, item))
    own = Step("term", start_us, occasion, term, fee, paid, None, units, (begins, of), of)
    yield own
    for change in changes if fee.prorate != "none" else ():
        plan, units = _changed(fee, change, plan, units)
        days = (of - _left(term, periods.day_of(change.at_us, item.zone), of), of)
        step = own._replace(at_us=change.at_us, occasion=f"{term.first} {change.id}", days=days)
        dearer = plan.amount_pico > paid.amount_pico
        if plan != paid and (dearer or fee.refund):
            sign = 1 if dearer else -1
            yield step._replace(kind="plan", plan=plan, less=paid, units=sign * paid_units)
            paid = plan
        if units > paid_units or (units < paid_units and fee.refund):
            yield step._replace(kind="count", plan=paid, units=units - paid_units)
            paid_units = units
    if fee.refund and stretch.end_us is not None and stretch.end_us < term.end_us:
        unused_from = periods.day_of(stretch.end_us - 1, item.zone) + _DAY
        days = (of - _left(term, unused_from, of), of)
        step = own._replace(kind="end", at_us=stretch.end_us, occasion=f"{term.first} end")
        yield step._replace(plan=paid, units=-paid_units, days=days)


def _begins(fee: Fee, began: Event | None) -> tuple[Plan, int]:
    plan, units = fee.plans[0], fee.count
    return (plan, units) if began is None else _changed(fee, began, plan, units)


def _changed(fee: Fee, event: Event, plan: Plan, units: int) -> tuple[Plan, int]:
    """The plan and the count after an event."""
    known = {each.id: each for each in fee.plans}
    return known.get(event.name, plan), event.units.get(fee.meter, units)


def _plan(fee: Fee, name: str) -> Plan:
    """A plan as this version has it; the first one, should it have none of the name."""
    return next((each for each in fee.plans if each.id == name), fee.plans[0])


def terms(fee: Fee, begins: date, zone: str) -> Iterator[Term]:
    """The terms of a fee from its first day on, without end."""
    anchor = begins
    if fee.anchor == "calendar":
        anchor = date(begins.year, (begins.month - 1) // fee.months * fee.months + 1, 1)
    starts = (periods.months_later(anchor, number * fee.months) for number in count())
    for first, last in pairwise(starts):
        yield Term(
            first,
            last,
            max(first, begins),
            periods.midnight_us(first, zone),
            periods.midnight_us(last, zone),
        )


def _over(fee: Fee, term: Term) -> bool:
    return fee.until is not None and term.first >= date.fromisoformat(fee.until)


def _us(day: date, item: Told[Fee]) -> int:
    return periods.midnight_us(day, item.zone)


def _days(term: Term) -> int:
    return (term.last - term.first).days


def _left(term: Term, day: date, of: int) -> int:
    """The days of a term from one on, of as many as it counts."""
    return of if day <= term.first else min((term.last - day).days, of)


def _of_step(item: Told[Fee], step: Step) -> Iterator[Due]:
    """A step's line; a term's fee that is spread is paid at once and earned month by month."""
    at_us = step.at_us
    if step.fee.due == "end":
        at_us = max(step.at_us, step.term.end_us - 1)
    name = step.plan.id if len(step.fee.plans) > 1 else ""
    price_pico = step.price_pico(item.currency)
    due = Due(at_us, step.occasion, step.fee.meter, step.units, price_pico, name)
    if not step.fee.spread:
        yield due
        return
    coin = money.coin_pico(item.currency)
    yield from told.deposit(at_us, step.occasion, "deferred", due.amount_pico)
    months = list(_months(step, item.zone))
    shares = money.share(due.amount_pico // coin, [days for _, days in months])
    for (start_us, _), coins in zip(months, shares, strict=True):
        earned = due._replace(at_us=max(start_us, at_us))
        yield from told.amount(earned, coins * coin)
        yield from told.deposit(earned.at_us, step.occasion, "deferred", -coins * coin)


def _months(step: Step, zone: str) -> Iterator[tuple[int, int]]:
    """The calendar months over which a step is spread: when each begins, and its days."""
    day = max(step.term.paid_from, periods.day_of(step.at_us, zone))
    while day < step.term.last:
        following = periods.months_later(day.replace(day=1), 1)
        yield periods.midnight_us(day, zone), (min(following, step.term.last) - day).days
        day = following
