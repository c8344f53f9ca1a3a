"""From a journal to documents and reports, through the commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from steelyard.cli import close
from steelyard.cli.main import cli
from steelyard.metering.journal import JournalWriter
from steelyard.values import ids, money, periods
from steelyard.values.clock import FixedClock
from steelyard.values.usage import UsageRecord

STUDIO = {
    "steelyard.toml": """
[studio]
name = "Orchard Model Studio"
operator = "orchard"
zone = "Asia/Shanghai"

[[deployment]]
id = "embedded"
model = "smollm2-135m-instruct"
kind = "echo"
provider = "here"

[[customer]]
id = "acme"
name = "Acme Robotics"

[[customer]]
id = "campus"
name = "Open Campus"

[[earner]]
id = "orchard"
name = "Orchard Model Studio"

[[earner]]
id = "hugging-face"
name = "Hugging Face"
""",
    "contracts/acme.toml": """
id = "acme-2026"
customer = "acme"
title = "Enterprise agreement"
currency = "CNY"
valid_from = 2026-01-01
terms = { pays = "afterwards", due_days = 30 }

[[price]]
model = "smollm2-*"
per_million = { input = "1.23", output = "4.56" }
""",
    "contracts/campus.toml": """
id = "campus-free"
customer = "campus"
title = "Free tier"
currency = "CNY"
valid_from = 2026-01-01
terms = { pays = "never" }

[[price]]
model = "smollm2-*"
per_million = { input = "0", output = "0" }
""",
    "shares/cny.toml": """
id = "costs-cny"
currency = "CNY"
valid_from = 2026-01-01

[[cost]]
component = "model"
earner = "hugging-face"
per_million = { input = "0.31", output = "0.97" }

[[cost]]
component = "scheduling"
earner = "orchard"
per_unit = { requests = "0.0001" }
""",
}


def call(customer: str, contract: str, at: str, number: int) -> UsageRecord:
    at_us = periods.to_us(datetime.fromisoformat(at))
    return UsageRecord(
        call_id=ids.uuid7(at_us, number),
        at_us=at_us,
        edition=1,
        customer=customer,
        contract=contract,
        key_id="k",
        model="smollm2-135m-instruct",
        deployment="embedded",
        outcome="completed",
        meters={"input_tokens": 100_003 + number, "output_tokens": 7_777, "requests": 1},
        sources={},
    )


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    out: str
    err: str
    status: int

    @property
    def json(self):
        return json.loads(self.out)


class Trial:
    """A studio whose calls and clock are given."""

    def __init__(self, folder: Path, clock: FixedClock) -> None:
        self.folder = folder
        self.clock = clock
        self.written = 0
        for name, text in STUDIO.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def weigh(self, *records: UsageRecord) -> None:
        self.written += 1
        writer = f"import-{self.written:08x}"
        root = self.folder / "journal"
        with JournalWriter(root, writer, durability="process", clock=self.clock) as journal:
            journal.block(records)

    def run(self, *arguments: str) -> Answer:
        found = CliRunner().invoke(cli, ["--studio", str(self.folder), *arguments])
        assert found.exception is None or isinstance(found.exception, SystemExit)
        return Answer(found.stdout, found.stderr, found.exit_code)

    def at(self, written: str) -> None:
        self.clock.now_us = periods.to_us(datetime.fromisoformat(written))


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Calls of September and October 2026, on the 5th of November."""
    clock = FixedClock()
    monkeypatch.setattr(close, "SystemClock", lambda: clock)
    made = Trial(tmp_path / "studio", clock)
    made.at("2026-11-05T12:00+08:00")
    made.weigh(
        call("acme", "acme-2026", "2026-09-30T23:59:59+08:00", 1),
        call("acme", "acme-2026", "2026-10-01T00:00:00+08:00", 2),
        call("acme", "acme-2026", "2026-10-12T09:00:00+08:00", 3),
        call("campus", "campus-free", "2026-10-20T09:00:00+08:00", 4),
    )
    return made


def totals(closed: Answer) -> dict[str, str]:
    return {each["number"]: each["total"] for each in closed.json["documents"]}


def test_periods_close_in_order_and_once(trial):
    early = trial.run("close", "2026-10")
    assert (early.status, "2026-09 is not closed yet" in early.err) == (1, True)

    assert totals(trial.run("close", "2026-09", "--json")) == {
        "INV-2026-09-acme-0001": "0.16",
        "STM-2026-09-hugging-face-CNY": "0.04",
        "STM-2026-09-orchard-CNY": "0.12",
    }
    first = trial.run("close", "2026-10", "--json")
    assert totals(first) == {
        "INV-2026-10-acme-0001": "0.32",
        "INV-2026-10-campus-0001": "0.00",
        "STM-2026-10-hugging-face-CNY": "0.12",
        "STM-2026-10-orchard-CNY": "0.20",
    }
    assert not first.json["closed_already"]

    trial.at("2026-11-06T12:00+08:00")
    again = trial.run("close", "2026-10", "--json")
    assert again.json["closed_already"]
    assert again.json["written"] == []
    assert again.json["documents"] == first.json["documents"]
    assert "closed already, 2026-11-05" in trial.run("close", "2026-10").out


def test_every_document_is_on_the_disk_and_sums_are_equal(trial):
    trial.run("close", "2026-09")
    closed = trial.run("close", "2026-10", "--json").json
    files = [file for each in closed["documents"] for file in each["files"]]
    assert len(files) == 12
    assert all((trial.folder / file).is_file() for file in files)
    by_kind = {each["kind"]: each["total"] for each in closed["sums"]}
    assert by_kind == {"invoice": "0.32", "statement": "0.32"}


def test_a_document_that_is_gone_or_altered_is_written_again(trial):
    trial.run("close", "2026-09")
    invoice = trial.folder / "documents/2026-09/invoices/INV-2026-09-acme-0001.txt"
    as_issued = invoice.read_bytes()
    invoice.unlink()
    statement = trial.folder / "documents/2026-09/statements/STM-2026-09-orchard-CNY.html"
    statement.write_text("nothing is owed", "utf-8")
    trial.run("close", "2026-09")
    assert invoice.read_bytes() == as_issued
    assert "Orchard Model Studio" in statement.read_text("utf-8")


KILLED = """
import os, signal, sys
from pathlib import Path
from steelyard.cli import close
from steelyard.cli.main import cli

replace, left = Path.replace, int(sys.argv.pop(1))

def replace_some(self, target):
    global left
    if target.parent.name in {"invoices", "statements"}:
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    return replace(self, target)

Path.replace = replace_some
cli(sys.argv[1:])
"""
"""Runs a command, and kills it when so many documents have their name."""


@pytest.mark.parametrize("written", [0, 1, 5, 8])
def test_a_kill_while_documents_are_written_is_mended_by_closing_again(trial, written):
    arguments = ["--studio", str(trial.folder), "close", "2026-09", "--early"]
    command = [sys.executable, "-c", KILLED, str(written), *arguments]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = trial.run("close", "2026-09", "--json").json
    assert again["closed_already"]
    files = [file for each in again["documents"] for file in each["files"]]
    assert len(again["written"]) == len(files) - written
    assert all((trial.folder / file).is_file() for file in files)
    assert trial.run("audit").status == 0


def test_what_comes_late_goes_to_the_next_open_period(trial):
    trial.run("close", "2026-09")
    trial.run("close", "2026-10")
    trial.weigh(call("acme", "acme-2026", "2026-10-31T20:00:00+08:00", 5))
    trial.at("2026-12-01T12:00+08:00")
    late = trial.run("close", "2026-11", "--json")
    assert totals(late)["INV-2026-11-acme-0001"] == "0.16"
    assert trial.run("audit").status == 0


def test_a_month_that_goes_on_is_closed_only_early(trial):
    trial.weigh(call("acme", "acme-2026", "2026-11-02T20:00:00+08:00", 6))
    for period in ("2026-09", "2026-10"):
        trial.run("close", period)
    refused = trial.run("close", "2026-11")
    assert (refused.status, refused.out) == (1, "")
    assert "2026-11 has not ended yet in Asia/Shanghai" in refused.err
    closed = trial.run("close", "2026-11", "--early", "--json")
    assert closed.json["early"] is True
    invoice = trial.folder / "documents/2026-11/invoices/INV-2026-11-acme-0001.txt"
    assert "closed early" in invoice.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["close", "2026-13"], 2, "write it like 2026-11"),
        (["close", "2026-08"], 1, "nothing is booked in 2026-08"),
        (["report", "money", "--period", "August"], 2, "write it like 2026-11"),
        (["report", "money", "--period", "2026-08"], 1, "nothing is booked in 2026-08"),
    ],
)
def test_a_wrong_call_says_what_to_write(trial, arguments, status, says):
    answer = trial.run(*arguments)
    assert answer.status == status
    assert says in answer.err


def test_the_report_is_of_what_is_booked(trial):
    report = trial.run("report", "money", "--json").json
    [cny] = report["currencies"]
    assert cny["periods"] == ["2026-09", "2026-10"]
    parts = [*cny["costs"].values(), cny["margin"]]
    assert sum(map(money.amount, parts)) == money.amount(cny["charged"])
    assert cny["charged"] == "0.47540781"
    page = trial.folder / "documents/money.html"
    assert report["page"] == str(page)
    assert "<svg" in page.read_text("utf-8")


def test_the_report_of_a_closed_period_agrees_with_its_documents(trial):
    trial.run("close", "2026-09")
    closed = trial.run("close", "2026-10", "--json").json
    target = trial.folder / "slide.html"
    report = trial.run("report", "money", "--period", "2026-10", "--html", str(target), "--json")
    [cny] = report.json["currencies"]
    invoiced = sum(money.amount(e["exact"]) for e in closed["documents"] if e["kind"] == "invoice")
    assert invoiced == money.amount(cny["charged"])
    assert target.is_file()


def test_tables_print_exact_sums(trial):
    out = trial.run("report", "money", "--period", "2026-10").out
    assert "0.31693977" in out
    assert "Page: " in out
    table = trial.run("close", "2026-09").out
    assert "INV-2026-09-acme-0001" in table
    assert "all statements" in table
