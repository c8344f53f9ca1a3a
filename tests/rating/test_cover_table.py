"""What pays before money does, by a table that was worked out by hand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Contract, Edition
from steelyard.catalogue.sheets import Sheet
from steelyard.values import money
from tests.rating.documents import call, count, edition

TABLE = Path(__file__).parents[1] / "tables" / "cover.toml"
CASES = tomllib.loads(TABLE.read_text("utf-8"))["case"]
HEAD = """
id = "acme-2026"
customer = "acme"
currency = "CNY"
zone = "Asia/Shanghai"
valid_from = 2026-01-01
"""
PRICE = """
price = [{ model = "*", per_million = { input = "1000", cached_input = "100", output = "4000" } }]
"""
METERS = {"in": "input_tokens", "cached": "cached_input_tokens", "out": "output_tokens"}


def signed(text: str) -> Contract:
    """A contract of which only what matters here is written."""
    own = "" if text.lstrip().startswith("price") else PRICE
    sheet = Sheet("contracts/acme.toml", HEAD + own + text)
    found = contracts.read(sheet, "Asia/Shanghai")
    assert found is not None, sheet.faults
    return found.value


def called(number: int, row: str):
    """A call, and what it is charged."""
    when, model, used, charged = (each.strip() for each in row.split("|"))
    more: dict[str, Any] = {}
    for each in used.split(", "):
        count_of, _, name = each.rpartition(" ")
        if name in METERS:
            more[METERS[name]] = int(count_of)
        elif name == "s":
            more["seconds"] = int(count_of)
        else:
            more["service_tier"] = name
    at = f"{when.replace(' ', 'T', 1)}+08:00"
    return call(at, number=number, model=model, **more), charged


@pytest.mark.parametrize("case", CASES, ids=lambda case: re.sub(r"[^a-z0-9]+", "-", case["what"]))
def test_what_is_charged_is_what_the_table_says(case):
    documents: dict[int, Edition] = {1: edition(signed(case["contract"]))}
    rows = [called(number, row) for number, row in enumerate(case["calls"])]
    lines, unrated, _ = count([record for record, _ in rows], documents, None, {})
    paid = [
        sum(line.amount_pico for line in lines if line.call_id == record.call_id)
        for record, _ in rows
    ]
    assert [money.exact(amount) for amount in paid] == [charged for _, charged in rows]
    assert not unrated


def test_the_table_is_long_enough_to_be_believed():
    assert sum(len(case["calls"]) for case in CASES) >= 100
