"""What is bought as a fee or a reservation lets calls draw on it, from and until when it holds."""

from __future__ import annotations

import pytest

from steelyard.rating.periods import included
from steelyard.values import money
from steelyard.values.events import Event
from tests.rating.documents import call, count, edition, us
from tests.rating.test_cover_table import signed

TOKEN_PLAN = """
[[fee]]
id = "token-plan"
from = 2026-11-01
prorate = "thirtieths"
plan = [
  { id = "lite", amount = "6.00", includes = { credits = 25_000 } },
  { id = "pro", amount = "10.00", includes = { credits = 50_000 } },
]

[[subscription]]
id = "credits"
fee = "token-plan"
model = "*"
from = 2026-11-01
burn = [{ per_token = { input = "1" } }]
"""
RESERVED = """
price = [{ model = "*", per_million = { input = "1000", output = "4000" } }]
[[throughput]]
id = "ptu"
model = "m"
per = "day"
input = "121.00"
output = "36.29"

[[capacity]]
id = "reserved"
throughput = "ptu"
model = "m"
from = 2026-11-01
"""


def told(at, what, about, name="", **units):
    return Event(
        id=f"{at} {what} {name}", at_us=us(at), contract="acme-2026", about=about, what=what,
        name=name, units=units,
    )  # fmt: skip


UPGRADED = told("2026-11-11T00:00:00+08:00", "changed", "token-plan", "pro")
ORDERED = told("2026-11-05T10:00:00+08:00", "begun", "ptu", input_tpm=10_000, output_tpm=1_000)
LATE = told("2026-11-06T22:00:00+08:00", "begun", "ptu", "b", input_tpm=10_000, output_tpm=1_000)
MORE = told("2026-11-05T12:00:00+08:00", "begun", "ptu", "c", input_tpm=5_000, output_tpm=500)

CASES = [
    # what, contract, what happened, calls as (when, input), what each is charged
    ("a term's credits, and one token more", TOKEN_PLAN, [],
     [("2026-11-01T00:00:00+08:00", 25_001)], ["0.001"]),
    ("upgraded with 20 of 30 days left: 16,667 credits of a difference of 25,000", TOKEN_PLAN,
     [UPGRADED],
     [("2026-11-10T23:59:59+08:00", 25_000), ("2026-11-11T00:00:00+08:00", 16_668)],
     ["0", "0.001"]),
    ("and the next term has all of the new plan, none of the old one's rest", TOKEN_PLAN,
     [UPGRADED], [("2026-12-01T00:00:00+08:00", 50_001)], ["0.001"]),
    ("what an upgrade gives is not there before it", TOKEN_PLAN, [UPGRADED],
     [("2026-11-10T23:59:59+08:00", 25_001)], ["0.001"]),
    ("a reservation of a day, from its order to midnight of the next", RESERVED, [ORDERED],
     [("2026-11-05T09:59:59+08:00", 1), ("2026-11-05T10:00:00+08:00", 10_001),
      ("2026-11-05T23:59:59+08:00", 1), ("2026-11-06T00:00:00+08:00", 1)],
     ["0.001", "0.001", "0", "0.001"]),
    ("ordered after 22:00 it has a day more", RESERVED, [LATE],
     [("2026-11-07T23:59:00+08:00", 10_000), ("2026-11-08T00:00:00+08:00", 1)], ["0", "0.001"]),
    ("two at a time are one", RESERVED, [ORDERED, MORE],
     [("2026-11-05T12:00:00+08:00", 15_001), ("2026-11-05T12:01:00+08:00", 15_000)],
     ["0.001", "0"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "happened", "calls", "charged"), CASES)
def test_what_was_bought_covers_calls(what, text, happened, calls, charged):
    until_us = max(us(at) for at, _ in calls) + 1
    documents = edition(signed(text))
    known = {1: included.with_bought(documents, {"acme-2026": happened}, until_us)}
    batch = [call(at, number=n, input_tokens=units) for n, (at, units) in enumerate(calls)]
    lines = count(batch, known, None, {}).lines
    paid = [
        sum(line.amount_pico for line in lines if line.call_id == record.call_id)
        for record in batch
    ]
    assert [money.exact(amount) for amount in paid] == charged


def test_tables_cover_nothing_before_something_is_bought():
    documents = edition(signed(RESERVED))
    assert included.with_bought(documents, {}, us("2026-11-06T00:00:00+08:00")) == documents
    lines = count([call("2026-11-05T10:00:00+08:00", input_tokens=1)], {1: documents}, None, {})
    assert [line.price_pico for line in lines.lines] == [1_000_000_000]
