"""What is charged by the period, from events in the journal to invoices, and again by the audit."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from steelyard.clerk import parquet, periodic
from steelyard.clerk.batch import Journal
from steelyard.clerk.book import Standing, book_calls
from steelyard.clerk.closing import Refused
from steelyard.clerk.difference import DifferenceError
from steelyard.clerk.periodic import Order
from steelyard.store import tables
from steelyard.store.closings import Closings
from steelyard.values import money
from steelyard.values.ids import content_id, uuid7
from tests.clerk.charging import (
    ACCEPTED,
    BEGUN,
    ITEMS,
    MEASURED,
    SEATS,
    Charging,
    documents,
    invoice,
    us,
)
from tests.clerk.desk import Desk, altered, calls, journal, told
from tests.clerk.ordering import audited, lines


@pytest.fixture
def charging(tmp_path):
    with Desk(tmp_path) as desk:
        yield Charging(desk, documents())


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
    assert lines(charging.desk, charging.charge("2026-11", again_from="2026-10")) == []
    # What is told late afterwards is counted under the corrected documents too.
    charging.happened(SEATS)
    charging.close("2026-11")
    assert charging.balance("customer/acme/unbilled") == "0"
    nothing = charging.charge("2026-12", until_us=us("2026-12-01T00:00:00+08:00"))
    assert lines(charging.desk, nothing) == []
    audited(charging.desk)


def test_to_charge_again_under_unchanged_documents_changes_nothing(charging):
    journal(charging.desk.root, "one-1", calls(100))
    charging.happened(SEATS, BEGUN, MEASURED, ACCEPTED)
    charging.close("2026-10")
    charging.close("2026-11")
    again = charging.charge("2026-11", again_from="2026-10")
    assert lines(charging.desk, again) == []
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


def test_a_flipped_byte_in_the_lines_of_fees_and_a_changed_fact_are_found(charging):
    charging.happened(SEATS)
    charging.close("2026-10")
    [number] = [each.number for each in charging.desk.rows(tables.batches) if each.kind == "period"]
    path = parquet.path_of(charging.desk.lines, number)
    whole = path.read_bytes()
    path.write_bytes(bytes([*whole[:400], whole[400] ^ 1, *whole[401:]]))
    with pytest.raises(DifferenceError, match=path.name):
        audited(charging.desk)
    path.write_bytes(whole)
    audited(charging.desk)
    with charging.desk.engine.begin() as connection:
        body = tables.facts.c.body
        connection.execute(sa.update(tables.facts).values(body=sa.func.replace(body, "6", "7")))
    with pytest.raises(DifferenceError, match="facts"):
        audited(charging.desk)
