from __future__ import annotations

import pytest

from steelyard.settlement.statement import Rounding, statements
from steelyard.values import money, periods

NOVEMBER = periods.month("2026-11")
ISSUED_US = periods.bounds_us(NOVEMBER, "UTC")[1] + 86_400 * 10**6

INVOICED = [
    Rounding(number=number, currency=currency, gained_pico=money.amount(gained))
    for number, currency, gained in [
        ("INV-2026-11-acme-0001", "CNY", "0.0018953952"),
        ("INV-2026-11-campus-0001", "CNY", "0"),
        ("INV-2026-11-lumen-0001", "CNY", "-0.001598"),
        ("INV-2026-11-northwind-0001", "USD", "0.001900251"),
    ]
]


def november_statements(november):
    made = statements(november.sums, november.edition, NOVEMBER, ISSUED_US, INVOICED)
    return {each.number: each for each in made}


@pytest.mark.parametrize(
    ("number", "exact", "rounding", "paid", "remainder"),
    [
        ("STM-2026-11-alibaba-CNY", "55.2100836", "0", "55.21", "0.0000836"),
        ("STM-2026-11-coldstack-CNY", "21.439650437343", "0", "21.44", "-0.000349562657"),
        ("STM-2026-11-deepseek-CNY", "71.14410234", "0", "71.14", "0.00410234"),
        ("STM-2026-11-east-grid-CNY", "108.736758", "0", "108.74", "-0.003242"),
        ("STM-2026-11-transit-CNY", "40.549736812", "0", "40.55", "-0.000263188"),
        ("STM-2026-11-zhipu-CNY", "137.3166544", "0", "137.32", "-0.0033456"),
        ("STM-2026-11-orchard-CNY", "312.792717015457", "-0.002717015457", "312.79", "0"),
        ("STM-2026-11-alibaba-USD", "3.5218101", "0", "3.52", "0.0018101"),
        ("STM-2026-11-coldstack-USD", "0.413722566384", "0", "0.41", "0.003722566384"),
        ("STM-2026-11-deepseek-USD", "3.029915654", "0", "3.03", "-0.000084346"),
        ("STM-2026-11-east-grid-USD", "1.7449482", "0", "1.74", "0.0049482"),
        ("STM-2026-11-transit-USD", "0.8575945008", "0", "0.86", "-0.0024054992"),
        ("STM-2026-11-orchard-USD", "7.220108727816", "0.009891272184", "7.23", "0"),
    ],
)
def test_november_is_settled(november, number, exact, rounding, paid, remainder):
    made = november_statements(november)
    statement = made[number]
    assert money.exact(statement.exact_pico) == exact
    assert money.exact(statement.rounding_pico) == rounding
    assert money.payable(statement.paid_pico, statement.currency) == paid
    assert money.exact(statement.remainder_pico) == remainder
    assert len(made) == 13


def test_the_operator_gets_what_each_model_left_under_each_contract(november):
    operator = november_statements(november)["STM-2026-11-orchard-CNY"]
    shown = [
        (each.contract, each.model, *map(money.exact, (each.charged_pico, each.cost_pico)))
        for each in operator.margins
    ]
    assert shown == [
        ("acme-2026", "deepseek-v3.2", "206.11161736", "114.949531639743"),
        ("acme-2026", "qwen3-max", "119.3264872448", "80.100495299743"),
        ("campus-free", "smollm2-135m", "0", "17.074886850371"),
        ("lumen-list", "glm-4.6", "405.73347", "229.542914099743"),
        ("lumen-list", "qwen3-max", "16.018128", "10.856357699743"),
    ]
    assert all(e.margin_pico == e.charged_pico - e.cost_pico for e in operator.margins)


def test_an_earner_sees_models_and_no_contracts(november):
    statement = november_statements(november)["STM-2026-11-alibaba-CNY"]
    assert [(line.component, line.model, line.meter, line.units) for line in statement.lines] == [
        ("model", "qwen3-max", "input_tokens", 22361870 + 2200917),
        ("model", "qwen3-max", "cached_input_tokens", 9144832),
        ("model", "qwen3-max", "output_tokens", 4088665 + 701187),
    ]
    assert (statement.margins, statement.roundings) == ((), ())


def test_a_studio_that_only_gives_away_carries_the_costs(november):
    campus = [each for each in november.sums if each.customer == "campus"]
    made = statements(campus, november.edition, NOVEMBER, ISSUED_US, ())
    totals = {each.earner.id: money.payable(each.paid_pico, "CNY") for each in made}
    assert totals == {
        "coldstack": "0.15",
        "east-grid": "14.92",
        "transit": "0.27",
        "orchard": "-15.34",
    }


def test_the_order_of_the_sums_changes_nothing(november):
    forth = statements(november.sums, november.edition, NOVEMBER, ISSUED_US, INVOICED)
    assert forth == statements(november.sums[::-1], november.edition, NOVEMBER, ISSUED_US, INVOICED)
