from __future__ import annotations

import json
import re

import msgspec
import pytest

from steelyard.clerk import printing
from steelyard.clerk.closing import draw_up
from steelyard.values import money, periods

NOVEMBER = periods.month("2026-11")
CLOSED_US = periods.bounds_us(NOVEMBER, "America/Los_Angeles")[1]

FORMATS = ("txt", "json", "html")

SHOWN = {
    "INV-2026-11-acme-0001": "an invoice in CNY with a price change in the month",
    "INV-2026-11-northwind-0001": "an invoice in USD, paid in advance",
    "INV-2026-11-campus-0001": "an invoice over nothing, for a free tier",
    "STM-2026-11-alibaba-CNY": "a model developer's statement",
    "STM-2026-11-orchard-CNY": "the operator's statement, with a contract that costs more",
}


@pytest.fixture(scope="module")
def documents(november):
    closing = draw_up(november.sums, 1, november.edition, NOVEMBER, CLOSED_US, (1, 1))
    return {each.number: each for each in closing.documents}


def content(document, ending):
    [found] = [each.content for each in document.files if each.path.endswith(f".{ending}")]
    return found.decode()


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("number", SHOWN)
def test_a_document_reads_as_it_should(documents, golden, number, ending):
    golden(f"documents/{number}.{ending}", content(documents[number], ending))


def test_a_text_fits_a_hundred_columns(documents):
    for document in documents.values():
        lines = content(document, "txt").splitlines()
        assert max(map(len, lines)) <= 100, document.number
        assert not any(line != line.rstrip() for line in lines)


def test_a_page_fetches_and_runs_nothing(documents):
    for document in documents.values():
        page = content(document, "html")
        assert not re.search(r"https?:|//|<script|<link|<img|@import|url\(|\son\w+=", page)
        assert "@page" in page


def test_a_bookkeeper_can_compute_each_line_again(documents):
    for document in documents.values():
        printed = json.loads(content(document, "json"))
        lines = [
            (money.amount(line["price"]) * line["units"], line["price_per_units"], line["amount"])
            for line in printed["lines"]
        ]
        assert all(whole == money.amount(amount) * per for whole, per, amount in lines)
        margins = sum(money.amount(each["margin"]) for each in printed.get("margins", ()))
        exact_pico = sum(money.amount(amount) for _, _, amount in lines) + margins
        assert exact_pico == money.amount(printed["exact"])
        gained = money.amount(printed.get("rounding_of_documents", "0"))
        whole = money.amount(printed["total"]) + money.amount(printed["remainder"])
        assert exact_pico + gained == whole


@pytest.mark.parametrize(
    ("amount", "currency", "places", "text"),
    [
        ("1234.5", "CNY", 6, "1,234.50    "),
        ("0.000001", "CNY", 6, "0.000001"),
        ("-3", "USD", 2, "-3.00"),
        ("7", "JPY", 3, "7    "),
        ("7", "JPY", 0, "7"),
    ],
)
def test_decimal_points_stand_in_one_column(amount, currency, places, text):
    assert printing.aligned(money.amount(amount), currency, places) == text


@pytest.mark.parametrize(
    ("amount", "html"),
    [
        ("1234.567", '1,234.56<span class="fine">7</span><span class="pad">000</span>'),
        ("-2", '−2.00<span class="pad">0000</span>'),
        ("0.123456", '0.12<span class="fine">3456</span>'),
    ],
)
def test_digits_beyond_the_coin_are_set_apart(amount, html):
    assert printing.digits(money.amount(amount), "CNY", 6) == html


def test_a_name_is_escaped_on_a_page_and_plain_in_a_text(november):
    evil = msgspec.structs.replace(november.edition.customers[0], name="<b>A & B</b>")
    edition = msgspec.structs.replace(
        november.edition, customers=(evil, *november.edition.customers[1:])
    )
    closing = draw_up(november.sums, 1, edition, NOVEMBER, CLOSED_US, (1, 1))
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in content(closing.documents[0], "html")
    assert "<b>A & B</b>" in content(closing.documents[0], "txt")


def test_wide_letters_take_two_columns():
    assert printing.left("艾", 4) == "艾  "
    assert printing.right("艾a", 4) == " 艾a"
