"""Budgets as they are written, whose calls they count, and when their windows begin."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.catalogue import budgets
from steelyard.catalogue.budgets import Budget
from steelyard.catalogue.sheets import Sheet
from steelyard.dispatch import purses
from steelyard.dispatch.purses import Funds, Payment, Term
from steelyard.governance.keys import Key
from steelyard.values import money, periods
from tests.rating.documents import us

WRITTEN = """
[[budget]]
id = "b"
of = "customer"
amount = "500.00"
currency = "USD"
per = "month"
"""

KEY = Key(id="k", customer="acme", contract="c", sha256="", workspace="lab", project="site")
BUDGET = Budget(id="b", of=("customer",), amount_pico=10**13, currency="USD", per="month")


def read(text: str) -> tuple[list[Budget], list[str]]:
    sheet = Sheet("steelyard.toml", text)
    found = [each.value for each in budgets.read(sheet)]
    return found, [f"{each.line}: {each.reason}" for each in sheet.faults]


def test_a_budget_is_read():
    found, faults = read(WRITTEN + 'notices = ["80%", "50%"]\nof_no_use = 1\n')
    assert faults
    assert "of_no_use" in faults[0]
    (found,), faults = read(WRITTEN + 'notices = ["80%", "50%"]\nprojects = ["si*"]\n')
    assert not faults
    assert (found.amount_pico, found.notices_ppm) == (500 * money.PICO, (500_000, 800_000))
    assert (found.of, found.projects, found.stops) == (("customer",), ("si*",), True)


FAULTY = [
    ('amount = "500.00"', "amount = 500", "5: write an amount as decimal text"),
    ('amount = "500.00"', 'amount = "0"', "5: a budget is above 0"),
    ('amount = "500.00"', 'amount = "1000000001"', "at most 1000000000"),
    ('of = "customer"', "of = []", "say whose spending is counted apart"),
    ('of = "customer"', 'of = ["key", "key"]', "each once"),
    ('currency = "USD"', 'currency = "XYZ"', 'unknown currency "XYZ"'),
    ('per = "month"', 'per = "month"\nzone = "Mars"', 'unknown time zone "Mars"'),
    ('per = "month"', 'per = "month"\nfiscal_year_begins = 4', "only quarters depend on it"),
    ('per = "month"', 'per = "month"\nnotices = ["half"]', "per cent"),
]


@pytest.mark.parametrize(("old", "new", "reason"), FAULTY)
def test_what_is_wrong_is_said_where_it_is(old, new, reason):
    found, faults = read(WRITTEN.replace(old, new))
    assert not found
    assert any(reason in each for each in faults), faults


COUNTS = [
    ({}, "m", True),
    ({"models": ("n*",)}, "m", False),
    ({"customers": ("acme",), "keys": ("k",)}, "m", True),
    ({"workspaces": ("lab",), "projects": ("si*",)}, "m", True),
    ({"projects": ("other",)}, "m", False),
]


@pytest.mark.parametrize(("changed", "model", "counts"), COUNTS)
def test_whose_calls_count(changed, model, counts):
    assert budgets.counts(msgspec.structs.replace(BUDGET, **changed), KEY, model) is counts


def test_a_budget_of_projects_is_for_keys_that_have_one():
    budget = msgspec.structs.replace(BUDGET, of=("project", "model"))
    assert budgets.subject(budget, KEY, "m") == "project=acme/site,model=m"
    assert budgets.counts(budget, KEY, "m")
    assert not budgets.counts(budget, msgspec.structs.replace(KEY, project=""), "m")


WINDOWS = [
    # per, zone, first month, at, since, until
    (
        "hour",
        "Asia/Shanghai",
        1,
        "2026-11-25T16:59:59+08:00",
        "2026-11-25T16:00",
        "2026-11-25T17:00",
    ),
    ("hour", "Asia/Kolkata", 1, "2026-11-25T11:20:00Z", "2026-11-25T16:00", "2026-11-25T17:00"),
    ("day", "Asia/Shanghai", 1, "2026-11-24T15:59:59Z", "2026-11-24T00:00", "2026-11-25T00:00"),
    ("day", "Asia/Shanghai", 1, "2026-11-24T16:00:00Z", "2026-11-25T00:00", "2026-11-26T00:00"),
    ("day", "Europe/Berlin", 1, "2026-03-29T10:00:00Z", "2026-03-29T00:00", "2026-03-30T00:00"),
    ("week", "Asia/Shanghai", 1, "2026-11-22T15:59:59Z", "2026-11-16T00:00", "2026-11-23T00:00"),
    ("week", "Asia/Shanghai", 1, "2026-11-22T16:00:00Z", "2026-11-23T00:00", "2026-11-30T00:00"),
    ("month", "Asia/Shanghai", 1, "2026-02-28T15:59:59Z", "2026-02-01T00:00", "2026-03-01T00:00"),
    (
        "month",
        "America/New_York",
        1,
        "2026-11-01T04:00:00Z",
        "2026-11-01T00:00",
        "2026-12-01T00:00",
    ),
    ("quarter", "Asia/Shanghai", 1, "2026-12-31T15:59:59Z", "2026-10-01T00:00", "2027-01-01T00:00"),
    ("quarter", "UTC", 2, "2026-11-25T00:00:00Z", "2026-11-01T00:00", "2027-02-01T00:00"),
    ("quarter", "UTC", 3, "2026-02-28T23:59:59Z", "2025-12-01T00:00", "2026-03-01T00:00"),
    ("quarter", "UTC", 12, "2026-11-30T00:00:00Z", "2026-09-01T00:00", "2026-12-01T00:00"),
]


@pytest.mark.parametrize(("per", "zone", "first", "at", "since", "until"), WINDOWS)
def test_windows_are_those_of_the_zone(per, zone, first, at, since, until):
    start_us, end_us = periods.span_bounds_us(per, us(at), zone, first)
    shown = [periods.from_us(each, zone).isoformat()[:16] for each in (start_us, end_us)]
    assert shown == [since, until]
    assert periods.span_bounds_us(per, end_us - 1, zone, first) == (start_us, end_us)
    assert periods.span_bounds_us(per, end_us, zone, first)[0] == end_us


LENGTHS = [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-25", 24)]


@pytest.mark.parametrize(("day", "hours"), LENGTHS)
def test_days_when_clocks_turn(day, hours):
    start_us, end_us = periods.span_bounds_us("day", us(f"{day}T12:00:00Z"), "Europe/Berlin")
    assert end_us - start_us == hours * 3_600_000_000


def payment(at="2026-11-24T16:30:00Z", **changed) -> Payment:
    return Payment(KEY, "c", "m", "USD", us(at))._replace(**changed)


def test_the_purses_of_a_call_are_named_for_payer_and_window_in_order():
    known = Funds(
        budgets=(
            msgspec.structs.replace(BUDGET, id="z", per="total"),
            msgspec.structs.replace(BUDGET, id="a", of=("key",)),
            msgspec.structs.replace(BUDGET, id="of-models", of=("model",)),
            msgspec.structs.replace(BUDGET, id="yuan", currency="CNY"),
        ),
        terms={"c": (Term(0, "USD", None), Term(us("2026-11-01T00:00:00Z"), "USD", 10**12))},
        paid_pico={"c": 3 * 10**12},
        zone="UTC",
        zones={"acme": "Asia/Shanghai"},
    )
    found = purses.purses(known, payment())
    assert [(each.name, each.size) for each in found] == [
        ("budget/a/key=k/2026-11-01T00:00+08:00", 10**13),
        ("budget/of-models/model=m/2026-11-01T00:00+00:00", 10**13),
        ("budget/z/customer=acme/total", 10**13),
        ("contract/c", 4 * 10**12),
    ]
    assert found[0].until_us == us("2026-12-01T00:00:00+08:00")
    assert not [p for p in purses.purses(known, payment("2026-10-01T00:00:00Z")) if not p.budget]
    raised = msgspec.structs.replace(known, raised_pico={found[0].name: 5 * 10**13})
    assert purses.purses(raised, payment())[0].size == 5 * 10**13
    assert purses.stamp(raised) == purses.stamp(known)
    other = (msgspec.structs.replace(BUDGET, of=("key",)),)
    assert purses.stamp(msgspec.structs.replace(known, budgets=other)) != purses.stamp(known)
