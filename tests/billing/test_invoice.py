from __future__ import annotations

from datetime import date

import msgspec
import pytest

from steelyard.billing.invoice import invoices
from steelyard.values import money, periods

NOVEMBER = periods.month("2026-11")


def at(written: str, zone: str = "Asia/Shanghai") -> int:
    """The first instant of a day in a zone."""
    year, month, day = map(int, written.split("-"))
    start, _ = periods.bounds_us(periods.Month(year, month), zone)
    return start + (day - 1) * 86_400 * 10**6


@pytest.mark.parametrize(
    ("number", "currency", "exact", "paid", "remainder", "pays", "due"),
    [
        (
            "INV-2026-11-acme-0001",
            *("CNY", "325.4381046048", "325.44", "-0.0018953952"),
            *("afterwards", date(2027, 1, 2)),
        ),
        ("INV-2026-11-campus-0001", "CNY", "0", "0.00", "0", "never", None),
        (
            "INV-2026-11-lumen-0001",
            *("CNY", "421.751598", "421.75", "0.001598"),
            *("afterwards", date(2026, 12, 17)),
        ),
        (
            "INV-2026-11-northwind-0001",
            *("USD", "16.788099749", "16.79", "-0.001900251"),
            *("before", None),
        ),
    ],
)
def test_november_is_invoiced(november, number, currency, exact, paid, remainder, pays, due):
    issued = {
        each.number: each
        for each in invoices(november.sums, november.edition, NOVEMBER, at("2026-12-03"))
    }
    invoice = issued[number]
    assert invoice.currency == currency
    assert money.exact(invoice.exact_pico) == exact
    assert money.payable(invoice.paid_pico, currency) == paid
    assert money.exact(invoice.remainder_pico) == remainder
    assert (invoice.pays, invoice.due) == (pays, due)
    assert len(issued) == 4


def test_the_lines_are_what_was_charged(november):
    [acme] = [
        each
        for each in invoices(november.sums, november.edition, NOVEMBER, at("2026-12-03"))
        if each.buyer.id == "acme"
    ]
    shown = [
        (line.model, line.meter, line.units, money.exact(line.amount_pico), line.source)
        for line in acme.lines
    ]
    assert shown == [
        ("deepseek-v3.2", "input_tokens", 90646304, "159.53749504", 2),
        ("deepseek-v3.2", "input_tokens", 14646304, "23.199745536", 3),
        ("deepseek-v3.2", "cached_input_tokens", 54147519, "9.529963344", 2),
        ("deepseek-v3.2", "output_tokens", 4122048, "10.88220672", 2),
        ("deepseek-v3.2", "output_tokens", 1122048, "2.96220672", 3),
        ("qwen3-max", "input_tokens", 22361870, "62.97102592", 1),
        ("qwen3-max", "cached_input_tokens", 9144832, "10.3007387648", 1),
        ("qwen3-max", "output_tokens", 4088665, "46.05472256", 1),
    ]
    assert acme.sources[2] == "acme-2026 of 2026-01-01, deepseek-cny of 2026-11-14"
    assert acme.exact_pico == sum(line.amount_pico for line in acme.lines)


@pytest.mark.parametrize(
    ("issued", "zone", "first", "last", "early"),
    [
        ("2026-12-01", "Asia/Shanghai", date(2026, 11, 1), date(2026, 11, 30), False),
        ("2026-11-24", "Asia/Shanghai", date(2026, 11, 1), date(2026, 11, 30), True),
    ],
)
def test_the_period_is_the_contracts_month(november, issued, zone, first, last, early):
    made = invoices(november.sums, november.edition, NOVEMBER, at(issued))
    [invoice] = [each for each in made if each.buyer.id == "acme"]
    assert (invoice.zone, invoice.first, invoice.last) == (zone, first, last)
    assert invoice.early == early


def test_the_order_of_the_sums_changes_nothing(november):
    when = at("2026-12-03")
    forth = invoices(november.sums, november.edition, NOVEMBER, when)
    back = invoices(november.sums[::-1], november.edition, NOVEMBER, when)
    assert forth == back


def test_other_periods_are_left_alone(november):
    december = [msgspec.structs.replace(each, period="2026-12") for each in november.sums]
    assert invoices(december, november.edition, NOVEMBER, at("2026-12-03")) == ()


def test_a_contract_that_only_cost_something_is_invoiced_over_nothing(november):
    costs = [each for each in november.sums if each.side == "cost" and each.customer == "campus"]
    [invoice] = invoices(costs, november.edition, NOVEMBER, at("2026-12-03"))
    assert (invoice.lines, invoice.exact_pico, invoice.due) == ((), 0, None)


def test_contracts_and_currencies_of_a_customer_are_numbered(november):
    acme = [each for each in november.sums if each.customer == "acme"]
    second = [msgspec.structs.replace(each, contract="acme-2027") for each in acme]
    dollars = [msgspec.structs.replace(each, currency="USD") for each in acme]
    made = invoices([*second, *dollars, *acme], november.edition, NOVEMBER, at("2026-12-03"))
    assert [(each.number[-9:], each.contract, each.currency) for each in made] == [
        ("acme-0001", "acme-2026", "CNY"),
        ("acme-0002", "acme-2026", "USD"),
        ("acme-0003", "acme-2027", "CNY"),
    ]
    assert made[2].title == "acme-2027", "a contract that is gone from the documents has its id"


def test_the_version_at_the_end_of_the_period_sets_the_terms(november):
    [old] = [each for each in november.edition.contracts if each.id == "acme-2026"]
    versions = [
        msgspec.structs.replace(
            old, valid_from_us=at(f"2026-{month}-15"), title=title, valid_from=f"2026-{month}-15"
        )
        for month, title in (("11", "In November"), ("12", "Too late"))
    ]
    edition = msgspec.structs.replace(
        november.edition, contracts=(*november.edition.contracts, *versions)
    )
    made = invoices(november.sums, edition, NOVEMBER, at("2026-12-20"))
    assert [each.title for each in made if each.buyer.id == "acme"] == ["In November"]
