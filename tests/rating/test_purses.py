"""Whom a purse that is used up stops, what a call draws on before, and what expires at the end."""

from __future__ import annotations

import pytest

from steelyard.catalogue.offers import Offer
from steelyard.rating import purses, quotas, scalar
from steelyard.rating.counting import Counter
from steelyard.rating.quotas import Holder
from steelyard.values import periods
from tests.rating.documents import call, count, edition, us
from tests.rating.test_cover_table import signed

FREE = """
[[grant]]
id = "welcome"
model = "qwen-*"
tokens = 100
not_service_tier = "batch"
from = 2026-11-01
until = 2027-02-01
used_up = "stop"
"""
PLAN = """
[[subscription]]
id = "plan"
model = "*"
from = 2026-11-05
includes = { calls = { month = 3, "5h" = 2 } }
used_up = "stop"
"""
PACK = """
[[grant]]
id = "pack"
model = "*"
tokens = 50
from = 2026-11-01
shared = true
paid = true
"""
RESERVED = """
[[capacity]]
id = "reserved"
model = "*"
from = 2026-11-01
input_tpm = 100
output_tpm = 10
used_up = "stop"
"""
GIFT = """
[[grant]]
id = "gift"
model = "*"
amount = "1.00"
from = 2026-11-01
"""


def drawn(text, before, asked):
    """What a call would draw on after others were booked."""
    documents = {1: edition(signed(text))}
    booked = count(before, documents, None, {})
    offer = scalar.offer_for(asked, documents)
    assert isinstance(offer, Offer)
    tariff = scalar.tariff_for(asked, offer)
    period = periods.month_of(asked.at_us, offer.zone)
    which = scalar.call_of(asked, offer, tariff, period)
    counters = dict(booked.counters)
    found = purses.draws(which, offer.grants, list(tariff.tiers[0].rates.prices), counters)
    assert counters == booked.counters
    return found


def used(when="2026-11-05T09:00:00+08:00", model="qwen-a", **more):
    return call(when, model=model, **more)


STOPS = [
    # what, contract, calls before, a call, (draws as (grant, left, need)), stopped by, until when
    ("a free quota with room", FREE, [], used(input_tokens=100), [("welcome", 100, 100)], None,
     None),
    ("one token too many", FREE, [], used(input_tokens=101), [("welcome", 100, 101)], "welcome",
     None),
    ("used up, and it never comes back", FREE, [used(input_tokens=100)], used(output_tokens=1),
     [("welcome", 0, 1)], "welcome", None),
    ("another model has its own", FREE, [used(input_tokens=100)],
     used(model="qwen-b", input_tokens=1), [("welcome", 100, 1)], None, None),
    ("a batch call is not meant", FREE, [used(input_tokens=100)],
     used(input_tokens=1, service_tier="batch"), [], None, None),
    ("a package covers the rest", FREE + PACK, [used(input_tokens=90)], used(input_tokens=60),
     [("welcome", 10, 60), ("pack", 50, 50)], None, None),
    ("until it is used up, too", FREE + PACK, [used(input_tokens=90)], used(input_tokens=61),
     [("welcome", 10, 61), ("pack", 50, 51)], "welcome", None),
    ("money does not pay for what is stopped", FREE + GIFT, [used(input_tokens=100)],
     used(input_tokens=1), [("welcome", 0, 1)], "welcome", None),
    ("of a plan's windows the one that is full says when", PLAN,
     [used(input_tokens=1), used("2026-11-05T09:07:00+08:00", input_tokens=1)],
     used("2026-11-05T09:10:00+08:00", input_tokens=1),
     [("plan", 1, 1), ("plan", 0, 1)], "plan", "2026-11-05T14:05:00+08:00"),
    ("or the month", PLAN,
     [used(input_tokens=1), used(input_tokens=1),
      used("2026-11-05T20:00:00+08:00", input_tokens=1)],
     used("2026-11-05T20:10:00+08:00", input_tokens=1), [("plan", 0, 1), ("plan", 1, 1)], "plan",
     "2026-12-05T00:00:00+08:00"),
    ("reserved capacity, until the minute is over", RESERVED, [used(input_tokens=60)],
     used("2026-11-05T09:00:30+08:00", input_tokens=41, output_tokens=10),
     [("reserved", 40, 41), ("reserved", 10, 10)], "reserved", "2026-11-05T09:01:00+08:00"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "before", "asked", "told", "stopped", "until"), STOPS)
def test_a_call_is_stopped_where_nothing_covers_it(what, text, before, asked, told, stopped, until):
    found = drawn(text, before, asked)
    assert [(each.grant, each.left, each.need) for each in found.draws] == told
    assert (found.refused.id if found.refused else None) == stopped
    assert found.until_us == (None if until is None else us(until))


EXPIRED = [
    # what, contract, calls, at, what is left as (since, until, model, left)
    ("before its end nothing expires", FREE, [used(input_tokens=40)], "2027-01-31T23:59:59+08:00",
     []),
    ("at its end, what each model has left", FREE,
     [used(input_tokens=40), used(model="qwen-b", input_tokens=100)], "2027-02-01T00:00:00+08:00",
     [("2026-11-01", "2027-02-01", "qwen-a", 60), ("2026-11-01", "2027-02-01", "qwen-b", 0)]),
    ("each month of a subscription, not the hours", PLAN,
     [used(input_tokens=1), used(input_tokens=1)], "2026-12-05T00:00:00+08:00",
     [("2026-11-05", "2026-12-05", "", 1)]),
    ("not before it is over", PLAN, [used(input_tokens=1)], "2026-12-04T23:59:59+08:00", []),
    ("a month in which nothing was used, whole", PLAN, [used(input_tokens=1)],
     "2027-01-20T00:00:00+08:00", [("2026-12-05", "2027-01-05", "", 3)]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "calls", "at", "left"), EXPIRED)
def test_what_is_left_expires(what, text, calls, at, left):
    contract = signed(text)
    booked = count(calls, {1: edition(contract)}, None, {})
    found = purses.breakage(
        contract.id, contract.grants[0], booked.counters, us(at), "Asia/Shanghai"
    )
    assert [(each.since, each.until, each.model, each.left) for each in found] == left
    assert all(each.used + each.left == each.size for each in found)


def test_a_coding_plan_covers_six_thousand_in_five_hours_and_not_one_more():
    plan = signed(
        PLAN.replace('month = 3, "5h" = 2', 'month = 90_000, week = 45_000, "5h" = 6_000')
    )
    (grant,) = plan.grants
    holder = Holder(
        plan.id, "", plan.zone, periods.month("2026-11"), us("2026-11-05T09:02:00+08:00")
    )
    counters: dict[Counter, int] = {}
    month, week, hours = quotas.quotas_of(grant)
    for quota, already in ((month, 83_999), (week, 39_000), (hours, 5_999)):
        quotas.use(grant, quota, holder, already, counters)
    covered = [used("2026-11-05T13:59:00+08:00", number=n, input_tokens=1) for n in (1, 2)]
    lines = count(covered, {1: edition(plan)}, None, counters).lines
    assert [line.price_pico > 0 for line in lines] == [False, True]
    later = used("2026-11-05T14:05:00+08:00", input_tokens=1)
    assert not count([later], {1: edition(plan)}, None, counters).lines[0].price_pico
    for quota, already in ((week, 6_000), (month, 6_001)):
        held = dict(counters)
        quotas.use(grant, quota, holder, already, held)
        line = count([later], {1: edition(plan)}, None, held).lines[0]
        assert bool(line.price_pico) == (quotas.left(grant, quota, holder, held) == 0)
