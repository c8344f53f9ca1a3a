"""Contracts × what happened: ``tests/tables/periods.toml``, each row worked out by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from steelyard.catalogue import contracts, shares
from steelyard.catalogue.documents import Contract, Edition, ShareRule
from steelyard.catalogue.sheets import Sheet
from steelyard.rating.lines import Line, LineSum
from steelyard.rating.periods.charging import Known, charge, news
from steelyard.values import money, periods
from steelyard.values.events import Event, order

TABLE = tomllib.loads((Path(__file__).parents[2] / "tables" / "periods.toml").read_text("utf-8"))
ROWS: list[dict[str, Any]] = TABLE["row"]
CONTRACTS: dict[str, str] = TABLE["contracts"]


def contract_of(row: dict[str, Any]) -> list[Contract]:
    """The versions of a row's contract: its head is the same in all rows but for what it says."""
    named = row["contract"]
    found: list[Contract] = []
    for name in named if isinstance(named, list) else [named]:
        currency, zone = row.get("currency", "CNY"), row.get("zone", "Asia/Shanghai")
        text = CONTRACTS[name]
        valid = "" if "valid_from" in text else "valid_from = 2020-01-01\n"
        head = f'id = "c"\ncustomer = "acme"\ncurrency = "{currency}"\nzone = "{zone}"\n{valid}'
        sheet = Sheet("contract.toml", head + text)
        read = contracts.read(sheet, "UTC")
        assert read is not None, [str(fault) for fault in sheet.faults]
        found.append(read.value)
    return found


def shares_of(row: dict[str, Any]) -> tuple[ShareRule, ...]:
    if "shares" not in row:
        return ()
    head = 'id = "s"\ncurrency = "CNY"\nvalid_from = 2020-01-01\n'
    sheet = Sheet("shares.toml", head + row["shares"])
    read = shares.read(sheet, "Asia/Shanghai")
    assert read is not None, [str(fault) for fault in sheet.faults]
    return (read.value,)


def edition_of(row: dict[str, Any]) -> Edition:
    versions = tuple(contract_of(row))
    return Edition(
        operator="house",
        zone="UTC",
        customers=(),
        earners=(),
        models=(),
        deployments=(),
        books=(),
        contracts=versions,
        shares=shares_of(row),
    )


def instant(text: str, zone: str) -> int:
    moment = datetime.fromisoformat(text)
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


def events_of(row: dict[str, Any], zone: str) -> list[Event]:
    """``2026-11-20 10:00 | plan | changed pro | seats 4, days 30``; the last part may be away."""
    found: list[Event] = []
    for place, text in enumerate(row.get("happened", [])):
        at, about, what, *counted = [part.strip() for part in text.split("|")]
        verb, _, name = what.partition(" ")
        units = {}
        for each in ",".join(counted).split(","):
            if each.strip():
                counts, number = each.split()
                units[counts] = int(number.replace("_", ""))
        event = Event(
            id=f"E{place + 1}",
            at_us=instant(at, zone),
            contract="c",
            about=about,
            what=verb,  # pyright: ignore[reportArgumentType]
            name=name,
            units=units,
        )
        found.append(event)
    return sorted(found, key=order)


def calls_of(row: dict[str, Any], zone: str) -> Any:
    """``2026-11-05 | qwen3-max | 12.50``: what calls of that day were charged, one request."""
    table: list[tuple[int, LineSum]] = []
    for text in row.get("calls", []):
        day, model, amount, *requests = [part.strip() for part in text.split("|")]
        at_us = instant(day, zone)
        units = int(requests[0]) if requests else 1
        price_pico, rest = divmod(money.amount(amount), units)
        assert rest == 0
        line = LineSum(
            period=str(periods.month_of(at_us, zone)),
            side="charge",
            customer="acme",
            contract="c",
            model=model,
            component="",
            party="acme",
            meter="requests",
            price_pico=price_pico,
            currency="CNY",
            version="",
            units=units,
            amount_pico=money.amount(amount),
            calls=units,
        )
        table.append((at_us, line))

    def calls(contract: str, month: periods.Month, from_us: int, until_us: int) -> list[LineSum]:
        assert contract == "c"
        return [line for at_us, line in table if from_us <= at_us < until_us]

    return calls


def months_of(row: dict[str, Any]) -> Iterator[periods.Month]:
    first, _, last = row["months"].partition(" to ")
    month = periods.month(first)
    while month <= periods.month(last or first):
        yield month
        month = periods.following(month)


def charged(row: dict[str, Any]) -> list[Line]:
    edition = edition_of(row)
    zone = edition.contracts[0].zone
    known = Known(events_of(row, zone), calls_of(row, zone), [])
    found: list[Line] = []
    for month in months_of(row):
        found += charge(edition, "c", known._replace(before=found), month)
    return found


def shown(line: Line, zone: str) -> str:
    what = line.meter if line.side == "charge" else f"{line.side} {line.component}"
    whom = f" {line.party}" if line.side == "cost" else ""
    price, amount = money.grouped(line.price_pico, 2), money.grouped(line.amount_pico, 2)
    day = periods.day_of(line.at_us, zone)
    return f"{day} | {line.model} | {what}{whom} | {line.units:,} × {price} = {amount}"


@pytest.mark.parametrize("row", ROWS, ids=[each["says"] for each in ROWS])
def test_each_row_of_the_table(row):
    lines = charged(row)
    zone = contract_of(row)[0].zone
    assert [shown(line, zone) for line in lines] == row["due"]
    assert all(line.units * line.price_pico == line.amount_pico for line in lines)
    for line in lines:
        assert line.period == str(periods.month_of(line.at_us, zone))


@pytest.mark.parametrize("row", ROWS, ids=[each["says"] for each in ROWS])
def test_a_second_look_finds_nothing_to_book(row):
    lines = charged(row)
    zone = contract_of(row)[0].zone
    assert news(lines, lines, zone, None) == []


def test_the_table_is_long_enough():
    assert len(ROWS) >= 60
    assert len({row["says"] for row in ROWS}) == len(ROWS)
