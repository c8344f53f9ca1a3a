"""What is charged by the period, from events in the journal to invoices, and again by the audit."""

from __future__ import annotations

import itertools
import random
from datetime import datetime

import msgspec
import pytest

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Edition
from steelyard.catalogue.sheets import Sheet
from steelyard.clerk import closing, periodic
from steelyard.clerk.batch import Journal
from steelyard.clerk.book import Standing, book_calls
from steelyard.clerk.closing import Closing, Refused
from steelyard.clerk.periodic import Order
from steelyard.clerk.publishing import publish
from steelyard.store import tables
from steelyard.store.closings import Closings
from steelyard.values import events, money, periods
from steelyard.values.events import Event
from steelyard.values.ids import content_id, uuid7
from tests.clerk.desk import DOCUMENTS, Desk, altered, calls, journal, told
from tests.clerk.ordering import audited, lines

ZONE = "Asia/Shanghai"
ITEMS = """
id = "acme-2026"
customer = "acme"
currency = "CNY"
zone = "Asia/Shanghai"
valid_from = 2026-01-01

[[price]]
model = "*"
per_million = { input = "2.5", output = "10" }

[[fee]]
id = "team"
title = "Team"
from = 2026-10-10
seats = 4
plan = [{ id = "small", amount = "50.00" }, { id = "large", amount = "80.00" }]

[[commitment]]
id = "floor"
amount = "1000.00"
from = 2026-10-01

[[project]]
id = "rollout"
title = "Rollout"
advance = "30%"
retention = "5%"
budget = "10.00"
milestone = [{ id = "design", title = "Design", amount = "100000.00" }]

[[bundle]]
id = "developers"
of = ["team"]
by = "list"
rest = "lab"
part = [{ earner = "lab", list = "1.00" }, { earner = "farm", list = "2.00" }]

[[service_level]]
id = "sla"
measure = "availability"
step = [{ below = "99.9%", credit = "10%" }]
"""


def documents(text: str = ITEMS) -> Edition:
    read = contracts.read(Sheet("acme.toml", text), ZONE)
    assert read is not None
    bee = [each for each in DOCUMENTS.contracts if each.id == "bee-2026"]
    return msgspec.structs.replace(DOCUMENTS, contracts=(read.value, *bee))


def us(text: str) -> int:
    return periods.to_us(datetime.fromisoformat(text))


def event(name: str, at: str, about: str, what: events.What, of: str = "", **units: int) -> Event:
    at_us = us(f"{at}:00+08:00")
    return Event(
        id=name,
        at_us=at_us,
        contract="acme-2026",
        about=about,
        what=what,
        name=of,
        units=units,
    )


SEATS = event("1", "2026-10-25T10", "team", "changed", seats=6)
BEGUN = event("2", "2026-10-20T10", "rollout", "begun")
ACCEPTED = event("3", "2026-11-12T10", "rollout", "accepted", "design")
MEASURED = event("4", "2026-10-31T10", "sla", "measured", ppm=998_000)


class Charging:
    """A desk whose periods are charged and closed."""

    def __init__(self, desk: Desk, edition: Edition) -> None:
        self.desk = desk
        self.edition = edition
        self.number = desk.record(edition)
        self._writers = itertools.count(1)

    def happened(self, *told_: Event) -> None:
        told(
            self.desk.root,
            f"facts-{next(self._writers)}",
            *(events.fact(each, 0, "tester") for each in told_),
        )
        self.desk.book()

    def charge(self, period: str, **more) -> int:
        number = next(self._writers)
        given = Order(period=period, edition=self.number, **more)
        order = periodic.fact(given, 0, uuid7(number, number))
        told(self.desk.root, f"facts-{number}", order)
        self.desk.book()
        done = self.desk.books.carried_out(order.fact_id)
        assert done is not None
        return done

    def close(self, period: str) -> Closing:
        made = self.try_to_close(period)
        assert isinstance(made, Closing)
        publish(made, self.desk.root)
        return made

    def try_to_close(self, period: str) -> Closing | Refused:
        return closing.close(
            Closings(self.desk.engine, self.desk.lines),
            self.number,
            self.edition,
            periods.month(period),
            us("2027-06-01T00:00:00+00:00"),
            charge=lambda: self.charge(period),
        )

    def balance(self, account: str) -> str:
        rows = [each for each in self.desk.rows(tables.balances) if each.account == account]
        return money.exact(sum(each.debit_pico - each.credit_pico for each in rows))


@pytest.fixture
def charging(tmp_path):
    with Desk(tmp_path) as desk:
        yield Charging(desk, documents())


def invoice(made: Closing, customer: str = "acme") -> tuple[str, dict[str, str]]:
    [found] = [each for each in made.documents if each.kind == "invoice" and each.party == customer]
    [text] = [each for each in found.files if each.path.endswith(".json")]
    lines = msgspec.json.decode(text.content)["lines"]
    return money.exact(found.paid_pico), {
        f"{each['model']} {each.get('deposit') or each['meter']} {each['units']}": each["amount"]
        for each in lines
        if "title" in each
    }


def test_a_month_of_fees_and_no_call_is_closed(charging):
    charging.happened(SEATS, BEGUN)
    paid, lines = invoice(charging.close("2026-10"))
    assert lines == {
        "team:small seats 4": "200",
        # 16 of 31 days are left: 50 − 50 × 15 / 31
        "team:small seats 2": "51.62",
        "floor shortfalls 1": "748.38",
        "rollout advance 1": "30000",
        "rollout budget 1": "10",
    }
    assert paid == "31010"
    assert charging.balance("customer/acme/advance") == "-30000"
    assert charging.balance("customer/acme/unbilled") == "0"
    proof = audited(charging.desk)
    assert proof.closings == 1


def test_an_invoice_with_fees_is_printed(charging, golden):
    journal(charging.desk.root, "one-1", calls(40))
    charging.happened(SEATS, BEGUN, MEASURED, altered(ACCEPTED, at_us=BEGUN.at_us + 1))
    made = charging.close("2026-10")
    [found] = [each for each in made.documents if each.number == "INV-2026-10-acme-0001"]
    for file in found.files:
        ending = file.path.rpartition(".")[2]
        golden(f"documents/{found.number}.{ending}", file.content.decode())


def test_what_is_paid_ahead_is_taken_off_and_calls_draw_on_the_budget(charging):
    journal(charging.desk.root, "one-1", calls(400))
    charging.happened(BEGUN, ACCEPTED)
    charging.close("2026-10")
    paid, lines = invoice(charging.close("2026-11"))
    assert lines["rollout:design milestones 1"] == "100000"
    assert lines["rollout advance -1"] == "-30000"
    assert lines["rollout retention -1"] == "-5000"
    assert lines["rollout budget -1"].startswith("-")
    assert paid.startswith("65")
    assert charging.balance("customer/acme/advance") == "0"
    assert charging.balance("customer/acme/retention") == "5000"
    assert audited(charging.desk).closings == 2


def test_charging_again_books_nothing(charging):
    journal(charging.desk.root, "one-1", calls(300))
    charging.happened(SEATS, BEGUN, MEASURED)
    first, second = charging.charge("2026-10"), charging.charge("2026-10")
    lines = {each.number: each.lines for each in charging.desk.rows(tables.batches)}
    assert lines[first] > 0
    assert lines[second] == 0
    charging.close("2026-10")
    audited(charging.desk)


def test_calls_that_come_before_the_close_are_counted_in_the_commitment(charging):
    charging.charge("2026-10")
    journal(charging.desk.root, "one-1", calls(500))
    charging.desk.book()
    made = charging.close("2026-10")
    paid, lines = invoice(made)
    assert lines["team:small seats 4"] == "200"
    assert paid == "1000"
    audited(charging.desk)


def test_a_late_event_is_charged_in_the_first_open_month_and_says_of_which_it_is(charging):
    charging.close("2026-10")
    charging.happened(SEATS)
    paid, lines = invoice(charging.close("2026-11"))
    # the two seats of October, and the shortfall of October that is less by them
    assert lines["team:small seats 2"] == "51.62"
    assert lines["team:small seats 6"] == "300"
    with_it = {
        f"{each.period} {each.of_period} {each.meter} {each.units}" for each in sums(charging)
    }
    assert "2026-11 2026-10 seats 2" in with_it
    assert paid == "1000"
    audited(charging.desk)


def sums(charging: Charging):
    return Closings(charging.desk.engine, charging.desk.lines).line_sums("2026-11")


def test_the_same_events_in_any_order_and_told_four_times_charge_the_same(tmp_path):
    happened = [SEATS, BEGUN, MEASURED, ACCEPTED]
    found = set()
    for seed in range(3):
        chance = random.Random(seed)
        with Desk(tmp_path / str(seed)) as desk:
            charging = Charging(desk, documents())
            journal(desk.root, "one-1", calls(200))
            told_ = happened * (seed + 1)
            chance.shuffle(told_)
            for each in told_:
                charging.happened(each)
            made = [charging.close("2026-10"), charging.close("2026-11")]
            found.add(tuple(invoice(each)[0] for each in made))
            audited(desk)
    assert len(found) == 1


def test_an_event_whose_id_says_something_else_is_set_aside(charging):
    charging.happened(SEATS)
    charging.happened(altered(SEATS, units={"seats": 9}))
    charging.happened(SEATS)
    aside = charging.desk.rows(tables.set_aside)
    assert [each.reason for each in aside] == ["fact_conflict"]
    assert b'{"seats":9}' in aside[0].record
    _, lines = invoice(charging.close("2026-10"))
    assert lines["team:small seats 2"] == "51.62"
    audited(charging.desk)


def test_a_contract_that_is_written_later_does_not_change_what_was_closed(charging):
    charging.close("2026-10")
    charging.edition = documents(ITEMS.replace('"50.00"', '"60.00"'))
    charging.number = charging.desk.record(charging.edition)
    _, lines = invoice(charging.close("2026-11"))
    assert lines["team:small seats 4"] == "240"
    assert not any("-" in name for name in lines)
    audited(charging.desk)


def test_what_is_due_is_booked_before_its_month_ends(charging):
    charging.happened(SEATS, BEGUN)
    number = charging.charge("2026-10", until_us=us("2026-10-20T12:00:00+08:00"))
    due = [f"{each['meter']} {each['units']}" for each in lines(charging.desk, number)]
    # the fee and its two shares, advance and budget; neither the seats to come nor the shortfall
    assert due == ["seats 4", "seats 1", "seats 1", "seats 1", "deposits 1", "deposits 1"]
    assert charging.balance("customer/acme/advance") == "-30000"
    assert invoice(charging.close("2026-10"))[0] == "31010"
    audited(charging.desk)


def test_a_closed_month_is_charged_again_under_corrected_documents(charging):
    charging.close("2026-10")
    charging.edition = documents(ITEMS.replace('"50.00"', '"60.00"'))
    charging.number = charging.desk.record(charging.edition)
    again = charging.charge("2026-11", again_from="2026-10")
    booked = [
        f"{each['of_period']} {each['meter']} {each['units']} {each['price_pico'] // money.PICO}"
        for each in lines(charging.desk, again)
        if each["period"] == "2026-11" and each["side"] == "charge"
    ]
    assert booked == [
        "2026-10 seats 4 60",
        "2026-10 shortfalls 1 760",
        "2026-11 seats 4 60",
        "2026-11 shortfalls 1 760",
        "2026-10 seats -4 50",
        "2026-10 shortfalls -1 800",
    ]
    # What is told late afterwards is counted under the corrected documents too.
    charging.happened(SEATS)
    charging.close("2026-11")
    assert charging.balance("customer/acme/unbilled") == "0"
    nothing = charging.charge("2026-12", until_us=us("2026-12-01T00:00:00+08:00"))
    assert lines(charging.desk, nothing) == []
    audited(charging.desk)


def test_an_order_that_a_killed_clerk_left_is_carried_out(charging):
    order = periodic.fact(Order(period="2026-10", edition=charging.number), 0, uuid7(1, 1))
    told(charging.desk.root, "facts-1", order)
    gathered = Journal(charging.desk.journal).gather({}, 10)
    book_calls(
        charging.desk.books,
        Standing(charging.desk.books, charging.desk.journal, charging.desk.lines),
        charging.desk.journal,
        charging.desk.lines,
        gathered,
    )
    assert charging.desk.books.carried_out(order.fact_id) is None
    charging.desk.book()
    assert charging.desk.books.carried_out(order.fact_id) is not None
    audited(charging.desk)


def test_an_earlier_month_with_fees_is_closed_first(charging):
    refused = charging.try_to_close("2026-11")
    assert isinstance(refused, Refused)
    assert refused.code == "earlier_period_open"
    assert "2026-10" in refused.sentence


def test_shares_of_a_fee_reach_statements_whole(charging):
    charging.close("2026-10")
    earned = {
        each.account: each.credit_pico - each.debit_pico
        for each in charging.desk.rows(tables.balances)
        if each.account.endswith("/payable")
    }
    assert sum(earned.values()) == 1000 * money.PICO
    # a third and two thirds of 200, and 0.000000000001 to whom the rest is named
    assert money.exact(earned["earner/lab/payable"]) == "66.67"
    assert money.exact(earned["earner/farm/payable"]) == "133.33"


def test_an_order_is_a_fact_like_others():
    order = periodic.fact(Order(period="2026-10", edition=3), 5, content_id(0, b"x"))
    assert (order.kind, order.at_us) == ("charge", 5)
    assert order.body == '{"period":"2026-10","edition":3}'
