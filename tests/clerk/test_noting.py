"""Corrections of closed months: notes on invoices, statements corrected, all closed still."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steelyard.catalogue.documents import (
    Contract,
    CostRule,
    Edition,
    ListPrice,
    Party,
    PriceBook,
    PriceRule,
    Terms,
)
from steelyard.clerk import closing, publishing
from steelyard.clerk.closing import Closing
from steelyard.clerk.issuing import Document
from steelyard.rating.corrections import Rerate, Reverse, Scope
from steelyard.store import tables
from steelyard.store.closings import Closings
from steelyard.values import money, periods
from steelyard.values.ids import content_id
from steelyard.values.usage import UsageRecord
from tests.clerk.desk import Desk, altered, journal
from tests.clerk.ordering import audited, carry_out, order
from tests.rating.documents import contract, edition, flat, shares, us

FREE_US, PRICED_US = us("2026-02-11T20:14:03+00:00"), us("2026-02-11T20:33:39+00:00")
"""When glm-5 was listed at 0/0, and when at 1.00/3.20 again: 19.6 minutes. Source: market.md."""

MINUTE_US = 60_000_000
MARCH_US = us("2026-03-02T00:00:00+08:00")


def listed(from_us: int, given: str, made: str) -> ListPrice:
    tariff = flat(input_tokens=given, output_tokens=made)
    return ListPrice(model="glm-5", from_us=from_us, tariff=tariff, source="", checked="")


LONG_AGO = listed(us("2026-01-01T00:00:00+00:00"), "1.00", "3.20")
FAULTY = (LONG_AGO, listed(FREE_US, "0", "0"), listed(PRICED_US, "1.00", "3.20"))


def documents(prices: tuple[ListPrice, ...], terms: Terms | None = None) -> Edition:
    sold: list[Contract] = [
        altered(
            contract(
                PriceRule(model="glm-5", book="zhipuai"),
                PriceRule(model="tip", tariff=flat(output_tokens="0.000001")),
                name=f"{name}-2026",
                customer=name,
                currency="USD",
            ),
            terms=terms or Terms(),
        )
        for name in ("acme", "bee")
    ]
    made = edition(
        *sold,
        books=(PriceBook(id="zhipuai", vendor="Zhipu", currency="USD", prices=prices),),
        shares=(
            shares(
                CostRule(
                    component="model", earner="zhipu", rates=flat(input_tokens="0.5").tiers[0].rates
                ),
                currency="USD",
            ),
        ),
    )
    names = {"acme": "Acme Robotics Ltd.", "bee": "Bee GmbH", "zhipu": "Zhipu AI", "house": "House"}
    parties = tuple(Party(id=each, name=name) for each, name in names.items())
    return altered(made, customers=parties[:2], earners=parties[2:])


def call(at_us: int, customer: str, given: int, made: int, model: str = "glm-5") -> UsageRecord:
    return UsageRecord(
        call_id=content_id(at_us, f"{customer} {given} {made} {model}".encode()),
        at_us=at_us,
        edition=2,
        customer=customer,
        contract=f"{customer}-2026",
        key_id="",
        model=model,
        deployment="d",
        outcome="completed",
        meters={"input_tokens": given, "output_tokens": made},
        sources={},
    )


FEBRUARY = [
    call(FREE_US - 1, "acme", 1_000_000, 1_000_000),  # the last at its price
    call(FREE_US, "acme", 2_000_003, 500_001),  # the first at nothing
    call(FREE_US + 10 * MINUTE_US, "bee", 70_000, 1_000_000),
    call(PRICED_US - 1, "acme", 7, 3),  # the last at nothing
    call(PRICED_US, "bee", 1_000_000, 0),  # the first at its price again
]
"""Under-charged by 2.000010 + 3.2 × 0.500004 = 3.6000228 for acme, and 3.27 for bee."""


@pytest.fixture
def desk(tmp_path):
    with Desk(tmp_path / "desk") as opened:
        yield opened


def close(desk: Desk, month: str, now_us: int, made: Edition, number: int) -> Closing:
    closed = closing.close(
        Closings(desk.engine, desk.lines), number, made, periods.month(month), now_us
    )
    assert isinstance(closed, Closing), closed
    publishing.publish(closed.documents, desk.root)
    return closed


def invoiced(desk: Desk, terms: Terms | None = None) -> tuple[Closing, int]:
    """February as it was invoiced, and the number of the corrected documents."""
    wrong = documents(FAULTY, terms)
    assert desk.record(wrong) == 2
    journal(desk.root, "live-1", FEBRUARY)
    desk.book()
    closed = close(desk, "2026-02", MARCH_US, wrong, 2)
    return closed, desk.record(documents((LONG_AGO,), terms))


def notes(desk: Desk) -> list[Document]:
    last = max(row.number for row in desk.rows(tables.batches) if row.kind == "correction")
    return list(desk.books.notes(last))


def totals(issued: list[Document]) -> dict[str, tuple[str, str]]:
    return {
        each.number: (money.exact(each.exact_pico), money.payable(each.paid_pico, each.currency))
        for each in issued
    }


def test_a_price_of_zero_found_after_the_invoice(desk):
    closed, right = invoiced(desk)
    assert totals([each for each in closed.documents if each.kind == "invoice"]) == {
        "INV-2026-02-acme-0001": ("4.2", "4.20"),
        "INV-2026-02-bee-0001": ("1", "1.00"),
    }
    scope = Scope(model="glm-5", from_us=FREE_US, until_us=PRICED_US)
    carry_out(desk, order(Rerate(right), scope, edition=right))
    issued = notes(desk)
    assert totals(issued) == {
        "DBN-2026-02-acme-0001-1": ("3.6000228", "3.60"),
        "DBN-2026-02-bee-0001-1": ("3.27", "3.27"),
        "STM-2026-02-house-USD-1": ("6.87", "6.87"),
    }
    assert [each.kind for each in issued] == ["debit note", "debit note", "statement"]
    assert money_due(desk, "2026-02") == {
        "acme": "7.80",
        "bee": "4.27",
        "zhipu": "2.04",
        "house": "10.03",
    }
    assert audited(desk).documents == 7
    again = desk.sum()
    carry_out(desk, order(Rerate(right), scope, edition=right, name="again"))
    assert desk.sum() == again
    assert notes(desk) == []
    audited(desk)


def money_due(desk: Desk, period: str) -> dict[str, str]:
    """What is still receivable of each customer and payable to each earner, of one month."""
    nets = desk.sum().nets
    return {
        name.split("/")[1]: money.payable(abs(net), currency)
        for (name, currency, month), net in nets.items()
        if month == period and name.endswith(("/receivable", "/payable"))
    }


def test_a_price_that_was_too_high_gives_a_credit_note(desk):
    _, right = invoiced(desk)
    carry_out(desk, order(Rerate(right), Scope(period="2026-02"), edition=right))
    cheaper = documents((listed(LONG_AGO.from_us, "0.50", "3.20"),))
    number = desk.record(cheaper)
    carry_out(desk, order(Rerate(number), Scope(period="2026-02"), edition=number))
    found = totals(notes(desk))
    assert found == {
        "CRN-2026-02-acme-0001-2": ("-1.500005", "-1.50"),
        "CRN-2026-02-bee-0001-2": ("-0.535", "-0.54"),
        "STM-2026-02-house-USD-2": ("-2.04", "-2.04"),
    }
    assert money_due(desk, "2026-02")["acme"] == "6.30"
    audited(desk)


def test_costs_that_were_wrong_correct_the_earners_alone(desk):
    _, right = invoiced(desk)
    carry_out(desk, order(Rerate(right), edition=right))
    made = documents((LONG_AGO,))
    (share,) = made.shares
    dearer = altered(share.costs[0], rates=flat(input_tokens="0.6").tiers[0].rates)
    number = desk.record(altered(made, shares=(altered(share, costs=(dearer,)),)))
    carry_out(desk, order(Rerate(number), edition=number))
    assert totals(notes(desk)) == {
        "STM-2026-02-zhipu-USD-1": ("0.407001", "0.41"),
        "STM-2026-02-house-USD-2": ("-0.41", "-0.41"),
    }
    assert sum(statements_of(desk, "2026-02")) == sum(invoices_of(desk, "2026-02"))
    audited(desk)


def invoices_of(desk: Desk, period: str) -> list[int]:
    return [
        row.paid_pico
        for row in desk.rows(tables.documents)
        if row.period == period and row.kind != "statement"
    ]


def statements_of(desk: Desk, period: str) -> list[int]:
    return [
        row.paid_pico
        for row in desk.rows(tables.documents)
        if row.period == period and row.kind == "statement"
    ]


def test_where_the_contract_says_so_it_comes_on_the_next_invoice(desk):
    terms = Terms(corrections="invoice")
    _, right = invoiced(desk, terms)
    carry_out(desk, order(Rerate(right), edition=right))
    assert notes(desk) == []
    journal(desk.root, "live-2", [altered(call(MARCH_US, "acme", 10**6, 0), edition=right)])
    desk.book()
    april_us = us("2026-04-02T00:00:00+08:00")
    closed = close(desk, "2026-03", april_us, documents((LONG_AGO,), terms), right)
    found = totals([each for each in closed.documents if each.kind == "invoice"])
    assert found == {
        "INV-2026-03-acme-0001": ("4.6000228", "4.60"),
        "INV-2026-03-bee-0001": ("3.27", "3.27"),
    }
    invoice = printed(closed.documents[0], "json")
    sections = [
        (line["model"], line.get("correction_of"), line["units"]) for line in invoice["lines"]
    ]
    assert sections == [
        ("glm-5", None, 1_000_000),
        ("glm-5", "2026-02", -2_000_010),
        ("glm-5", "2026-02", 2_000_010),
        ("glm-5", "2026-02", -500_004),
        ("glm-5", "2026-02", 500_004),
    ]
    assert "glm-5, correction of 2026-02" in text(closed.documents[0])
    audited(desk)


def printed(document: Document, ending: str) -> Any:
    return json.loads(content(document, ending))


def text(document: Document) -> str:
    return content(document, "txt")


def content(document: Document, ending: str) -> str:
    (found,) = [each.content for each in document.files if each.path.endswith(ending)]
    return found.decode()


@pytest.mark.parametrize("ending", ["txt", "json", "html"])
def test_notes_read_as_they_should(desk, golden, ending):
    _, right = invoiced(desk)
    carry_out(desk, order(Rerate(right), Scope(model="glm-5"), edition=right))
    debit = notes(desk)
    carry_out(desk, order(Reverse(), Scope(calls=(FEBRUARY[0].call_id.hex(),)), edition=right))
    credit = notes(desk)
    shown = {each.number: each for each in (*debit, *credit)}
    for number in ("DBN-2026-02-acme-0001-1", "CRN-2026-02-acme-0001-2", "STM-2026-02-house-USD-1"):
        golden(f"documents/{number}.{ending}", content(shown[number], ending))
    if ending == "txt":
        for each in shown.values():
            assert max(map(len, content(each, ending).splitlines())) <= 100


def test_less_than_a_coin_is_not_owed_and_not_lost(desk):
    made = documents((LONG_AGO,))
    desk.record(made)
    tips = [call(FREE_US + place, "acme", 0, 1_000 + place, "tip") for place in range(5)]
    journal(desk.root, "live-1", [*FEBRUARY, *tips])
    desk.book()
    close(desk, "2026-02", MARCH_US, made, 2)
    carry_out(desk, order(Reverse(), Scope(calls=(tips[0].call_id.hex(),)), edition=2))
    found = notes(desk)
    assert totals(found)["CRN-2026-02-acme-0001-1"] == ("-0.000000001", "0.00")
    nets = desk.sum().nets
    assert not [each for each in nets if each[2] == "2026-02" and each[0].endswith("unbilled")]
    audited(desk)


def test_a_deleted_note_is_missed_and_written_again(desk):
    _, right = invoiced(desk)
    carry_out(desk, order(Rerate(right), edition=right))
    file = desk.root / notes(desk)[0].files[0].path
    assert file.read_bytes() == notes(desk)[0].files[0].content
    file.unlink()
    with pytest.raises(Exception, match="the file is missing"):
        audited(desk)
    desk.book()
    audited(desk)
