"""What was bought covers calls in the books, which the audit makes again; hours leave no rows."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Edition
from steelyard.catalogue.sheets import Sheet
from steelyard.rating.corrections import Rerate
from steelyard.store import tables
from steelyard.values import events
from steelyard.values.events import Event
from tests.clerk.desk import DOCUMENTS, Desk, journal, told
from tests.clerk.ordering import audited, carry_out, order
from tests.rating.documents import call, us

PLANS = """
id = "acme-2026"
customer = "acme"
currency = "CNY"
zone = "Asia/Shanghai"
valid_from = 2026-01-01
price = [{ model = "*", per_million = { input = "1000" } }]

[[fee]]
id = "token-plan"
from = 2026-11-01
prorate = "thirtieths"
plan = [
  { id = "lite", amount = "6.00", includes = { credits = 10 } },
  { id = "pro", amount = "10.00", includes = { credits = 40 } },
]

[[subscription]]
id = "credits"
fee = "token-plan"
model = "tokens"
from = 2026-11-01
burn = [{ per_token = { input = "1" } }]

[[subscription]]
id = "plan"
model = "calls"
from = 2026-11-01
includes = { calls = { month = 90, "1h" = 2 } }
"""
UPGRADE = Event(
    id="upgrade",
    at_us=us("2026-11-11T00:00:00+08:00"),
    contract="acme-2026",
    about="token-plan",
    what="changed",
    name="pro",
)


def documents() -> Edition:
    read = contracts.read(Sheet("acme.toml", PLANS), "Asia/Shanghai")
    assert read is not None
    return msgspec.structs.replace(DOCUMENTS, contracts=(read.value,))


def used(at: str, number: int, model: str, units: int):
    return call(at, number=number, edition=2, model=model, input_tokens=units)


def charged(desk: Desk) -> int:
    rows = desk.rows(tables.balances)
    return sum(row.debit_pico for row in rows if row.account == "customer/acme/unbilled")


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_an_upgrade_lets_calls_draw_on_more_from_when_it_is_booked(tmp_path, at_once):
    before = [used("2026-11-10T09:00:00+08:00", n, "tokens", 6) for n in (1, 2)]
    after = [used("2026-11-11T09:00:00+08:00", n, "tokens", 7) for n in (3, 4, 5)]
    with Desk(tmp_path) as desk:
        assert desk.record(documents()) == 2
        journal(tmp_path, "w-1", before, blocks=False)
        desk.book(at_once)
        assert charged(desk) == 2 * 10**9  # of 12 tokens the plan covers 10
        told(tmp_path, "w-2", events.fact(UPGRADE, UPGRADE.at_us, "sales"))
        journal(tmp_path, "w-3", after, blocks=False)
        desk.book(at_once)
        assert charged(desk) == 3 * 10**9  # 20 of 30 for 20 days of 30, so one of 21 is paid
        carry_out(desk, order(Rerate(2), edition=2))
        assert charged(desk) == 3 * 10**9  # what each batch knew is what it is rated by again
        audited(desk)


def test_hours_that_are_over_leave_no_counters(tmp_path):
    batch = [
        used(f"2026-11-{day:02d}T{hour:02d}:{minute:02d}:00+08:00", n, "calls", 1)
        for n, (day, hour, minute) in enumerate(
            (day, hour, minute)
            for day in range(2, 9)
            for hour in range(0, 24, 3)
            for minute in (0, 1, 2)
        )
    ]
    with Desk(tmp_path) as desk:
        desk.record(documents())
        journal(tmp_path, "w-1", batch)
        desk.book(20)
        counted = [row for row in desk.rows(tables.counters) if row.contract == "acme-2026"]
        assert charged(desk) == (len(batch) - 90) * 10**9  # two of three, until the month is full
        assert len(counted) < 10
        audited(desk)
