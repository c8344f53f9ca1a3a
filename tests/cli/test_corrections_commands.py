"""Correcting what is booked, through the commands."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from steelyard.cli.main import cli
from steelyard.metering.journal import JournalWriter
from steelyard.values import ids, periods
from steelyard.values.clock import FixedClock
from steelyard.values.usage import UsageRecord
from tests.cli.test_close import STUDIO

AT = ["2026-09-10T10:00:00+08:00", "2026-09-11T10:00:00+08:00", "2026-10-02T10:00:00+08:00"]
CONTRACT = "contracts/acme.toml"


def call(number: int, at: str, model: str = "smollm2-135m-instruct") -> UsageRecord:
    at_us = periods.to_us(datetime.fromisoformat(at))
    return UsageRecord(
        call_id=ids.uuid7(at_us, number),
        at_us=at_us,
        edition=1,
        customer="acme",
        contract="acme-2026",
        key_id="k",
        model=model,
        deployment="embedded",
        outcome="completed",
        meters={"input_tokens": 1_000_000, "output_tokens": 0, "requests": 1},
        sources={},
    )


CALLS = [call(number, at) for number, at in enumerate(AT)]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A studio whose September is invoiced, and whose October is open."""
    for name, text in STUDIO.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    records = [*CALLS, call(3, AT[0], model="qwen3-max")]
    with JournalWriter(
        tmp_path / "journal", "live-1", durability="process", clock=FixedClock()
    ) as journal:
        journal.block(records)
    assert run(tmp_path, "close", "2026-09").exit_code == 0
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--studio", str(folder), *arguments])


def found(folder: Path, *arguments: str) -> dict:
    result = run(folder, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def dearer(folder: Path) -> None:
    path = folder / CONTRACT
    path.write_text(path.read_text("utf-8").replace('"1.23"', '"1.25"'), "utf-8")


def test_what_would_change_is_shown_and_nothing_is_booked(folder):
    dearer(folder)
    shown = found(folder, "rerate", "--period", "2026-09", "--dry-run")
    assert (shown["booked"], shown["calls"], shown["lines"]) == (False, 2, 4)
    assert shown["payers"] == [
        {
            "customer": "acme",
            "contract": "acme-2026",
            "currency": "CNY",
            "charged": "0.04",
            "cost": "0",
        }
    ]
    assert [each["number"] for each in shown["documents"]] == [
        "DBN-2026-09-acme-0001-1",
        "STM-2026-09-orchard-CNY-1",
    ]
    assert not list((folder / "documents").rglob("*-1.txt"))
    assert found(folder, "rerate", "--dry-run")["calls"] == 3


def test_it_is_booked_once(folder):
    dearer(folder)
    arguments = ("rerate", "--period", "2026-09", "--reason", "1.23 was last year's", "--book")
    booked = found(folder, *arguments)
    assert booked["booked"]
    note = folder / "documents" / "2026-09" / "notes" / "DBN-2026-09-acme-0001-1.txt"
    assert "Corrects  INV-2026-09-acme-0001: 1.23 was last year's" in note.read_text("utf-8")
    again = found(folder, *arguments)
    assert (again["booked"], again["lines"]) == (False, 0)
    assert run(folder, *arguments).stdout == (
        "Calls without a price that way, which stay as they are: 1.\n"
        "Nothing differs; nothing is booked.\n"
    )
    audit = found(folder, "audit")
    assert audit["whole"]


def test_a_call_is_reversed_amended_and_rescaled(folder):
    call_id = ids.text(CALLS[2].call_id)
    booked = found(folder, "correct", "amend", call_id, "--meter", "input_tokens=500000", "--book")
    assert booked["payers"][0]["charged"] == "-0.615"
    assert booked["documents"] == []
    rescaled = found(
        folder, "correct", "rescale", "--period", "2026-10", "--meter", "input_tokens=1/2", "--book"
    )
    assert rescaled["payers"][0]["charged"] == "-0.3075"
    reversed_ = found(folder, "correct", "reverse", call_id, "--keep-costs", "--book")
    assert reversed_["payers"][0]["charged"] == "-0.3075"
    assert reversed_["earners"] == []
    explained = run(folder, "contract", "explain", call_id).output
    assert "Corrected by batch 3, which adds -0.615 CNY." in explained
    assert "Corrected by batch 5, which adds -0.3075 CNY." in explained
    assert found(folder, "audit")["whole"]


def test_calls_without_a_price_are_rated_when_there_is_one(folder):
    path = folder / CONTRACT
    text = path.read_text("utf-8")
    path.write_text(
        text + '\n[[price]]\nmodel = "qwen3-max"\nper_million = { input = "2" }\n', "utf-8"
    )
    booked = found(folder, "rerate", "--unpriced", "--book")
    assert (booked["calls"], booked["payers"][0]["charged"]) == (1, "2")
    assert booked["documents"][0]["number"] == "DBN-2026-09-acme-0001-1", "its month is closed"
    result = run(folder, "rerate", "--unpriced", "--book")
    assert result.stdout == "No call waits for a price.\n"


REFUSED = [
    (["rerate"], "say --dry-run to see what would change, or --book"),
    (["rerate", "--dry-run", "--book"], "say --dry-run"),
    (["rerate", "--under", "9", "--dry-run"], "there is no edition 9"),
    (["rerate", "--period", "now", "--dry-run"], "is no month"),
    (["rerate", "--from", "noon", "--dry-run"], "'noon' is no date or time"),
    (["correct", "reverse", "x", "--dry-run"], "write a call's id as"),
    (
        ["correct", "amend", "0" * 32, "--meter", "tokens=1", "--dry-run"],
        'there is no meter "tokens"',
    ),
    (
        ["correct", "rescale", "--meter", "output_tokens=1/0", "--dry-run"],
        "'output_tokens=1/0' is no fraction",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=lambda each: " ".join(each)[:40])
def test_what_makes_no_sense_is_refused(folder, arguments, sentence):
    result = run(folder, *arguments)
    assert result.exit_code != 0
    assert sentence in result.output


def test_templates_are_listed_shown_and_begun(folder):
    assert "coding-plan" in run(folder, "contract", "templates", "list").stdout
    assert run(folder, "contract", "templates", "show", "prepaid").stdout.startswith("# Paid in")
    begun = (
        "contract",
        "templates",
        "new",
        "list-price",
        "--id",
        "acme-2027",
        "--customer",
        "acme",
    )
    assert run(folder, *begun).exit_code == 0
    assert run(folder, "contract", "check").exit_code == 0
    assert "is there already" in run(folder, *begun).output
    assert "did you mean" in run(folder, "contract", "templates", "show", "prepayd").output
