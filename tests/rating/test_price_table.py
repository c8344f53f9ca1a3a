"""What calls cost, by a table that was worked out by hand; and a day of real ones."""

from __future__ import annotations

import csv
import gzip
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Contract
from steelyard.catalogue.sheets import Sheet
from steelyard.rating import columnar
from steelyard.rating.totals import totals
from steelyard.studio import packaged
from steelyard.values import money
from tests.rating.documents import book, call, count, edition, flat, us

ROOT = Path(__file__).parents[2]
CASES = tomllib.loads((ROOT / "tests" / "tables" / "prices.toml").read_text("utf-8"))["case"]
TRACE = ROOT / "examples" / "traces" / "servegen_resampled_requests.csv.gz"
HEAD = {
    "id": '"acme-2026"',
    "customer": '"acme"',
    "currency": '"CNY"',
    "zone": '"Asia/Shanghai"',
    "valid_from": "2026-01-01",
}
METERS = {
    "in": "input_tokens",
    "cached": "cached_input_tokens",
    "write": "cache_write_tokens",
    "write5m": "cache_write_5m_tokens",
    "write1h": "cache_write_1h_tokens",
    "out": "output_tokens",
    "thought": "reasoning_tokens",
    "token-hours": "cache_token_hours",
    "images": "images",
    "audio": "audio_seconds",
    "tools": "tool_calls",
    "request": "requests",
    "ms": "compute_ms",
    "s": "seconds",
}
TIERS = ("batch", "priority", "flex")
HOLIDAYS = packaged().holidays


def signed(text: str) -> Contract:
    """A contract of which only what matters here is written."""
    own, _, _ = text.partition("[[")
    head = [f"{name} = {value}" for name, value in HEAD.items() if f"{name} =" not in own]
    sheet = Sheet("contracts/acme.toml", "\n".join([*head, text]))
    found = contracts.read(sheet, "Asia/Shanghai")
    assert found is not None, [str(fault) for fault in sheet.faults]
    return found.value


def called(number: int, row: str, zone: str):
    """A call, and what it is charged."""
    when, which, used, charged = (each.strip() for each in row.split("|"))
    model, *said = which.split()
    more: dict[str, Any] = {}
    for word in said:
        field = "service_tier" if word in TIERS else "mode" if word == "thinking" else "region"
        more[field] = word
    for each in used.split(", "):
        units, name = each.split()
        more[METERS[name]] = int(units)
    moment = datetime.fromisoformat(when)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return call(moment.isoformat(), number=number, model=model, **more), charged


@pytest.mark.parametrize("case", CASES, ids=lambda case: re.sub(r"[^a-z0-9]+", "-", case["what"]))
def test_what_is_charged_is_what_the_table_says(case):
    contract = signed(case["contract"])
    listed = [
        (day if "T" in day else f"{day}T00:00:00+08:00", flat(input_tokens=a, output_tokens=b))
        for day, a, b in case.get("book", ())
    ]
    books = (book("m", *listed),) if listed else ()
    documents = {1: edition(contract, books=books, holidays=HOLIDAYS)}
    rows = [called(number, row, contract.zone) for number, row in enumerate(case["calls"])]
    lines, unrated, _ = count([record for record, _ in rows], documents, None, {})
    paid = [
        sum(line.amount_pico for line in lines if line.call_id == record.call_id)
        for record, _ in rows
    ]
    assert [money.exact(amount) for amount in paid] == [charged for _, charged in rows]
    assert not unrated


def test_the_table_is_long_enough_to_be_believed():
    assert sum(len(case["calls"]) for case in CASES) >= 100


PRICE = """
[[price]]
model = "deepseek-r1"
per_million = { input = "3", output = "6" }
"""
DOUBLED = 'calendar = { factor = "2", hours = ["09:00-12:00", "14:00-18:00"] }'


@pytest.fixture(scope="module")
def day():
    """The calls of ServeGen's deepseek-r1; ``t_s`` is read as the clock of Beijing."""
    start_us = us("2026-11-02T00:00:00+08:00")
    with gzip.open(TRACE, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "deepseek-r1"]
    one = call(model="deepseek-r1")
    return [
        msgspec.structs.replace(
            one,
            call_id=number.to_bytes(16, "big"),
            at_us=start_us + round(float(row["t_s"]) * 1_000_000),
            meters={
                "input_tokens": int(row["input_tokens"]),
                "output_tokens": int(row["output_tokens"]),
            },
        )
        for number, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("prices", "total"), [(PRICE, "776.991501"), (PRICE + DOUBLED, "988.655871")]
)
def test_a_day_of_deepseek_r1_comes_out_exactly(day, prices, total):
    # Source: market.md, and the README of the traces.
    rated = columnar.rate(columnar.columns(day), {1: edition(signed(prices))}, None, {})
    assert len(day) == 60_008
    assert [money.exact(each.amount_pico) for each in totals(rated.table)] == [total]
    assert not rated.unrated
