from __future__ import annotations

import itertools
from datetime import date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue.items.kinds import Fee, Plan
from steelyard.rating.periods import fees
from steelyard.rating.periods.told import Told
from steelyard.values import money, periods
from steelyard.values.events import Event

ZONE = "Asia/Shanghai"
LITE = Plan(id="lite", amount_pico=6 * money.PICO, includes={"credits": 35_000})
PRO = Plan(id="pro", amount_pico=10 * money.PICO, includes={"credits": 60_000})


def us(text: str) -> int:
    return periods.to_us(datetime.fromisoformat(text))


def told(fee: Fee, *events: Event) -> Told[Fee]:
    return Told("c", "USD", ZONE, ((0, fee),), events)


FEE = Fee(
    id="tokens",
    title="Tokens",
    plans=(LITE, PRO),
    months=1,
    since="2026-11-10",
    prorate="thirtieths",
)


def plan(**changes) -> Fee:
    return msgspec.structs.replace(FEE, **changes)


def changed(at: str, name: str = "", **units: int) -> Event:
    at_us = us(f"{at}T10:00+08:00")
    return Event(
        id=at, at_us=at_us, contract="c", about="t", what="changed", name=name, units=units
    )


@pytest.mark.parametrize(
    ("upgraded", "first", "more"),
    [
        (None, "2026-11-10 to 2026-12-10: 35000", None),
        ("2026-11-20", "2026-11-10 to 2026-12-10: 35000", "2026-11-20 to 2026-12-10: 16667"),
        ("2026-11-25", "2026-11-10 to 2026-12-10: 35000", "2026-11-25 to 2026-12-10: 12500"),
        ("2026-12-09", "2026-11-10 to 2026-12-10: 35000", "2026-12-09 to 2026-12-10: 834"),
    ],
)
def test_what_a_fee_includes(upgraded, first, more):
    events = [] if upgraded is None else [changed(upgraded, "pro")]
    found = [
        f"{periods.day_of(each.from_us, ZONE)} to {periods.day_of(each.until_us, ZONE)}: "
        f"{each.includes['credits']}"
        for each in fees.quotas(told(plan(), *events), us("2026-12-01T00:00+08:00"))
    ]
    until = us("2026-12-10T00:00+08:00")
    if upgraded == "2026-12-09":
        assert len(list(fees.quotas(told(plan(), *events), until))) == 2
    assert found == [each for each in (first, more) if each is not None]


def test_seats_include_by_seat():
    fee = plan(meter="seats", count=4)
    found = fees.quotas(told(fee, changed("2026-11-25", seats=6)), us("2026-12-01T00:00+08:00"))
    assert [each.includes["credits"] for each in found] == [140_000, 35_000]


days = st.integers(0, 400)


@given(
    st.integers(0, 10**9),
    st.lists(days, max_size=6),
    st.integers(1, 400),
    st.sampled_from(["CNY", "JPY"]),
)
def test_parts_of_a_term_sum_to_it_wherever_it_is_divided(coins, cuts, of, currency):
    amount_pico = coins * money.coin_pico(currency)
    marks = [0, *sorted(min(cut, of) for cut in cuts), of]
    parts = [
        money.part(amount_pico, (first, last), of, currency)
        for first, last in itertools.pairwise(marks)
    ]
    assert sum(parts) == amount_pico
    assert all(part >= 0 and part % money.coin_pico(currency) == 0 for part in parts)


@given(st.dates(date(2024, 1, 1), date(2032, 12, 31)), st.sampled_from([1, 3, 12]), st.booleans())
def test_terms_follow_on_each_other_without_a_gap(begins, months, by_calendar):
    anchor = "calendar" if by_calendar else "day"
    fee = plan(since=None, anchor=anchor, months=months)
    found = [term for term, _ in zip(fees.terms(fee, begins, ZONE), range(30), strict=False)]
    assert found[0].paid_from == begins
    assert all(before.last == after.first for before, after in itertools.pairwise(found))
    assert all(before.end_us == after.start_us for before, after in itertools.pairwise(found))
    if not by_calendar:
        assert {term.first.day for term in found} <= set(range(min(begins.day, 28), begins.day + 1))


@given(st.lists(st.tuples(st.integers(0, 29), st.sampled_from(["lite", "pro"])), max_size=5))
def test_a_term_with_refunds_costs_what_its_days_cost(changes):
    """Each day at its plan's thirtieth, but for half a coin a change."""
    events = [
        Event(
            id=f"E{place}",
            at_us=us("2026-11-10T00:00+08:00") + day * 86_400_000_000 + place + 1,
            contract="c",
            about="t",
            what="changed",
            name=name,
        )
        for place, (day, name) in enumerate(sorted(changes))
    ]
    item = told(plan(refund=True), *events)
    steps = list(fees.steps(item, us("2026-12-09T00:00+08:00")))
    total_pico = sum(step.units * step.price_pico("USD") for step in steps)
    by_day, current = [], LITE
    for day in range(30):
        for change_day, name in sorted(changes):
            if change_day == day:
                current = {"lite": LITE, "pro": PRO}[name]
        by_day.append(current.amount_pico)
    assert abs(total_pico * 30 - sum(by_day)) <= 30 * (len(changes) + 1) * money.coin_pico("USD")


def test_a_fee_that_is_spread_comes_back_to_zero():
    fee = Fee(
        id="f",
        title="f",
        plans=(Plan(id="f", amount_pico=100 * money.PICO),),
        months=12,
        since="2026-11-10",
        spread=True,
    )
    item = told(fee)
    found = []
    month = periods.month("2026-11")
    for _ in range(13):
        start_us, end_us = periods.bounds_us(month, ZONE)
        found += fees.dues(item, fees.Span(month, start_us, end_us))
        month = periods.following(month)
    ends_us = us("2027-11-10T00:00+08:00")
    first = [due for due in found if due.at_us < ends_us]
    assert sum(due.amount_pico for due in first if due.side == "deposit") == 0
    assert sum(due.amount_pico for due in first if due.side == "charge") == 100 * money.PICO
