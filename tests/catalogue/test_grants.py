"""What is wrong with grants, subscriptions and capacity is said by line and column."""

from __future__ import annotations

import pytest

from steelyard.catalogue import contracts
from steelyard.catalogue.sheets import Sheet

HEAD = """id = "acme-2026"
customer = "acme"
currency = "CNY"
valid_from = 2026-01-01
price = [{ model = "*", per_million = { input = "2" } }]
"""
GRANT = """[[grant]]
id = "g"
model = "*"
from = 2026-11-01
"""
PLAN = GRANT.replace("grant", "subscription")
RESERVED = GRANT.replace("grant", "capacity")

FAULTS = [
    # what is written from line 6 on, where and what is said
    (GRANT, "6:1: how much? Write tokens = 1_000_000, a meter and its units, calls"),
    (GRANT + 'tokens = 1\namount = "1"', "6:1: how much? Write tokens"),
    (GRANT + "tokens = 0", '10:1: "tokens" must be at least 1'),
    (GRANT + "tokens = 1\nuntil = 2026-11-01", "11:1: it ends before it begins, on 2026-11-01"),
    (GRANT + 'tokens = 1\nby = "end"', "11:1: it has no end that a call could pass"),
    (GRANT + "tokens = 1\nbackdated = 2026-11-01", "11:1: it pays from 2026-11-01 on anyway"),
    (GRANT + 'meter = "tokens"\nunits = 1', '10:1: units of what? There is no meter "tokens"'),
    (GRANT + 'meter = "credit"\nunits = 1', '10:1: units of what? There is no meter "credit"'),
    (GRANT + 'tokens = 1\nmeter = "images"', "11:1: tokens are of all meters; write units for one"),
    (GRANT + "amount = 100.0", '10:1: write an amount as decimal text in quotes, "100.00"'),
    (GRANT + 'amount = "0"', "10:1: a credit is above 0 and at most 1152921"),
    (GRANT + 'amount = "2000000"', "10:1: a credit is above 0 and at most"),
    (GRANT + 'amount = "1,5"', "10:1: '1,5' is not a decimal number"),
    (GRANT + 'amount = "1"\nround = "1"', "11:1: round is not for amount; remove it"),
    (GRANT + "tokens = 1\nitem_price = 4", "11:1: write the price of a million as decimal text"),
    (GRANT + 'tokens = 1\nitem_price = "4"\nround = "1"', "11:1: units count by their price"),
    (GRANT + 'calls = 1\nitem_price = "4"', "11:1: item_price is not for calls; remove it"),
    (GRANT + "credits = 5", "6:1: what do tokens burn? Write burn = [{ per_million = { input"),
    (GRANT + "credits = 0\nburn = [{ each = '1' }]", "10:1: write between 1 and 1000000000000"),
    (GRANT + 'tokens = 1\nburn = [{ model = "m" }]', "11:9: what does a unit count as? Write each"),
    (GRANT + "tokens = 1\nburn = [{ each = 2 }]", '11:11: write a number in quotes, "0.5", "1/2"'),
    (GRANT + 'tokens = 1\nburn = [{ each = "1/0" }]', '11:11: "1/0" divides by nothing'),
    (GRANT + 'tokens = 1\nburn = [{ per_token = { inputs = "1" } }]',
     '11:25: "inputs" is no meter that counts here; did you mean "input"?'),
    (GRANT + 'tokens = 1\nburn = [{ each = "1", tiers = "whole" }]',
     "11:9: this says how a tier is chosen, and there is no tier"),
    (GRANT + 'tokens = 1\nburn = [{ tier = [{ per_token = { input = "1" } }, { up_to = 5, '
     'per_token = { input = "1" } }] }]', "11:19: each tier but the last has an up_to"),
    (GRANT + 'tokens = 1\nburn = [{ tier = [{ up_to = 5, per_token = { input = "1" } }, '
     '{ per_token = { output = "1" } }] }]',
     "11:63: each tier has to say what the same meters count as"),
    (GRANT + 'tokens = 1_000_000_000_000\nburn = [{ each = "0.000001" }, { each = "1/7" }]',
     "6:1: this is more than can be counted so finely; write rounder numbers"),
    (GRANT + 'tokens = 1\nround = "0"', "11:1: each token counts as one; remove this"),
    (GRANT + 'tokens = 1\nburn = [{ each = "2" }]\nround = "0"',
     "12:1: write to what it is rounded"),
    (GRANT + 'tokens = 1\nmodel_ = "m"', '11:1: unknown field "model_"; did you mean "model"?'),
    (GRANT + 'tokens = 1\nnot_service_tier = "night"', '11:1: "night" is not known here'),
    (GRANT + "tokens = 1\n" + GRANT + "tokens = 2", '12:1: this contract has a grant "g" already'),
    (GRANT + "tokens = 1\n" + PLAN, '12:1: this contract has a subscription "g" already'),
    (PLAN + "includes = { calls = 5, credits = 5 }", "10:1: write one of calls, tokens, credits"),
    (PLAN + "includes = { seats = 5 }", "10:1: write one of calls, tokens, credits, amount"),
    (PLAN + "includes = { calls = { day = 5 } }",
     '10:24: "day" is no window; there is month, week, and hours like "5h"'),
    (PLAN + 'includes = { calls = { "0h" = 5 } }', '10:24: "0h" is no window'),
    (PLAN + 'includes = { calls = { "169h" = 5 } }', '10:24: "169h" is no window'),
    (PLAN + 'includes = { calls = { "5h" = 0 } }', "10:24: write a whole number between 1 and"),
    (PLAN + "includes = { calls = {} }", "10:14: nothing is included; write { month = 90_000 }"),
    (PLAN + "includes = { calls = true }", "10:14: write a whole number between 1 and"),
    (PLAN, "6:1: how much? Write includes = { calls = 90_000 }, or the fee"),
    (PLAN + 'includes = { calls = 5 }\nfee = "f"', "6:1: how much? Write includes"),
    (PLAN + 'fee = "f"\nkind = "calls"', '10:1: this contract has no fee "f"; there is none yet'),
    (RESERVED + "input_tpm = 5", "6:1: how much? Write input_tpm and output_tpm, or"),
    (RESERVED + 'throughput = "t"', '10:1: this contract has no throughput "t"; there is none yet'),
    (RESERVED + 'input_tpm = 5\noutput_tpm = 5\nburn = [{ per_token = { images = "1" } }]',
     '12:25: "images" is no meter that counts here'),
]  # fmt: skip


@pytest.mark.parametrize(("written", "said"), FAULTS)
def test_what_is_wrong_is_said_at_its_place(written, said):
    sheet = Sheet("acme.toml", HEAD + written)
    assert contracts.read(sheet, "Asia/Shanghai") is None
    assert any(str(fault).startswith(f"acme.toml:{said}") for fault in sheet.faults), [
        str(each) for each in sheet.faults
    ]


def test_whole_parts_are_the_least_that_everything_is_a_whole_number_of():
    written = PLAN + (
        'includes = { credits = { month = 25_000, week = "0.5" } }\nround = "0.01"\n'
        'burn = [{ model = "a", each = "1/3" }, { per_million = { input = "200" } }]'
    )
    found = contracts.read(Sheet("acme.toml", HEAD + written), "Asia/Shanghai")
    assert found is not None
    (grant,) = found.value.grants
    assert grant.scale == 15_000  # of 3, 5,000, 100 and 2
    assert [quota.size for quota in grant.quotas] == [375_000_000, 7_500]
    assert grant.step == 150
    weights = [
        each.tariff.tiers[0].rates.prices["input_tokens"] for each in grant.burns if each.tariff
    ]
    assert weights == [5_000, 3]
