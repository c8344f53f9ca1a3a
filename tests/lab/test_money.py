from __future__ import annotations

import msgspec
import pytest

from steelyard.lab import money as lab
from steelyard.values import money
from steelyard.values.meters import COMPONENTS


@pytest.fixture(scope="module")
def reports(november):
    return {each.currency: each for each in lab.reports(november.sums, november.edition)}


@pytest.mark.parametrize(
    ("currency", "charged", "costs", "margin", "carried"),
    [
        (
            "CNY",
            "747.1897026048",
            ["263.67084034", "108.736758", "21.439650437343", "40.549736812", "18.1272"],
            *("294.665517015457", "17.074886850371"),
        ),
        (
            "USD",
            "16.788099749",
            ["6.551725754", "1.7449482", "0.413722566384", "0.8575945008", "0.42393"],
            *("6.796178727816", "0"),
        ),
    ],
)
def test_november_adds_up(reports, currency, charged, costs, margin, carried):
    report = reports[currency]
    assert money.exact(report.charged_pico) == charged
    assert [money.exact(each) for each in report.costs_pico] == costs
    assert money.exact(report.margin_pico) == margin
    assert money.exact(report.carried_pico) == carried
    assert report.charged_pico == sum(report.costs_pico) + report.margin_pico


def test_each_sale_is_split_whole_and_earners_get_all_of_it(reports):
    for report in reports.values():
        for sale in report.sales:
            assert sale.charged_pico == sum(sale.costs_pico) + sale.margin_pico
        assert sum(each.amount_pico for each in report.earnings) == report.charged_pico
        for place, component in enumerate(COMPONENTS):
            earned = [e.amount_pico for e in report.earnings if e.component == component]
            assert sum(earned) == report.costs_pico[place]


def test_currencies_are_not_mixed(reports):
    assert {each.customer for each in reports["USD"].sales} == {"northwind"}
    assert "northwind" not in {each.customer for each in reports["CNY"].sales}


def test_names_are_those_of_the_documents(reports):
    names = reports["CNY"].names
    assert names["customer/campus"] == "Open Campus"
    assert names["contract/acme-2026"] == "Enterprise agreement 2026"
    assert names["earner/east-grid"] == "East Grid Compute"


@pytest.mark.parametrize(
    ("customers", "headline"),
    [
        (
            {"acme", "campus", "lumen"},
            (
                "Of ¥747.19 charged in November 2026, 35 % went to model developers, "
                "15 % to compute and 39 % is margin"
            ),
        ),
        (
            {"campus"},
            "¥0.00 charged in November 2026; it cost ¥17.07 more, carried by the operator",
        ),
    ],
)
def test_the_headline_states_the_finding(november, customers, headline):
    sums = [each for each in november.sums if each.customer in customers]
    [report] = lab.reports(sums, november.edition)
    assert lab.headline(report) == headline


def test_a_headline_without_costs_or_charges(november):
    [charge, *_] = november.sums
    [report] = lab.reports([charge], november.edition)
    assert lab.headline(report) == "Of ¥62.97 charged in November 2026, 100 % is margin"
    nothing = msgspec.structs.replace(charge, price_pico=0, amount_pico=0)
    [report] = lab.reports([nothing], november.edition)
    assert lab.headline(report) == "Nothing was charged in November 2026, and nothing was spent"


@pytest.mark.parametrize(
    ("months", "words"),
    [
        (["2026-11"], "November 2026"),
        (["2026-09", "2026-11"], "September to November 2026"),
        (["2023-11", "2024-01", "2026-10"], "November 2023 to October 2026"),
    ],
)
def test_periods_read_in_words(months, words):
    assert lab.in_words(months) == words


@pytest.mark.parametrize(
    ("amount", "whole", "words"),
    [
        (31, 100, "31 %"),
        (1, 1000, "under 1 %"),
        (5, 1000, "under 1 %"),
        (0, 1000, "0 %"),
        (-80, 1000, "−8 %"),
        (15, 1000, "2 %"),
        (25, 1000, "2 %"),
        (7, 0, ""),
    ],
)
def test_shares_are_rounded_half_to_even(amount, whole, words):
    assert lab.percent(amount, whole) == words


def test_the_report_for_machines_is_exact(reports):
    shown = lab.as_json(reports["CNY"])
    charged = sum(money.amount(each["charged"]) for each in shown["sales"])
    assert money.exact(charged) == shown["charged"] == "747.1897026048"
    assert sum(money.amount(each["amount"]) for each in shown["earnings"]) == charged
    assert list(shown["costs"]) == list(COMPONENTS)
