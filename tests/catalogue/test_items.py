"""What contracts charge by period and by event: read, refused, and read aloud."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Contract
from steelyard.catalogue.items import aloud
from steelyard.catalogue.sheets import Sheet

TABLES = Path(__file__).parents[1] / "tables"
CONTRACTS: dict[str, str] = tomllib.loads((TABLES / "periods.toml").read_text("utf-8"))["contracts"]
HEAD = 'id = "c"\ncustomer = "acme"\ncurrency = "CNY"\nvalid_from = 2026-01-01\n'


def sheet_of(text: str) -> Sheet:
    return Sheet("c.toml", text if "valid_from" in text else HEAD + text)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_kind_is_read_aloud(language, golden):
    said: list[str] = []
    for name, text in CONTRACTS.items():
        if "valid_from" in text:
            continue
        read = contracts.read(sheet_of(text), "Asia/Shanghai")
        assert read is not None
        said.append(f"--- {name}")
        said += [aloud.item(each, "CNY", language) for each in read.value.items]
    golden(f"cli/items-{language}.txt", "\n".join(said) + "\n")


def test_a_contract_of_every_kind_comes_back_from_its_edition():
    for text in CONTRACTS.values():
        if "valid_from" in text:
            continue
        read = contracts.read(sheet_of(text), "Asia/Shanghai")
        assert read is not None
        body = msgspec.json.encode(read.value)
        assert msgspec.json.decode(body, type=Contract) == read.value


REFUSED = tomllib.loads((TABLES / "items.toml").read_text("utf-8"))["row"]


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_wrong_is_said_with_its_place(row):
    sheet = sheet_of(row["text"])
    assert contracts.read(sheet, "UTC") is None
    said = [str(fault) for fault in sheet.faults]
    assert any(
        each.startswith(f"c.toml:{row['place']}") and row["says"] in each for each in said
    ), said
