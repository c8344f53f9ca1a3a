"""Budgets and what is paid in, from the command line to a worker that serves by it."""

from __future__ import annotations

import json
import sqlite3
import time

import openai
import pytest
from click.testing import CliRunner

from steelyard import app
from steelyard.cli.main import cli
from steelyard.store.roster import Roster
from tests.fixtures.gateway import CONTRACT, start, stop, write_studio

BUDGET = """
[[budget]]
id = "month"
of = "customer"
amount = "0.002"
currency = "USD"
per = "month"
notices = ["50%"]
"""
MONTH_PICO = 2 * 10**9
PREPAID = 'terms = { pays = "before" }\n'


@pytest.fixture
def studio(tmp_path):
    folder = write_studio(tmp_path, [], "queue_s = 3")
    path = folder / "steelyard.toml"
    path.write_text(path.read_text("utf-8") + BUDGET, "utf-8")
    text = CONTRACT.format(customer="acme", model="*")
    (folder / "contracts" / "acme.toml").write_text(
        text.replace("\n[[price]]", f"{PREPAID}\n[[price]]"), "utf-8"
    )
    return folder


def run(studio, *arguments, status=0):
    done = CliRunner().invoke(cli, ["--studio", str(studio), *arguments])
    assert done.exit_code == status, done.output
    return done.output


def said(client) -> str:
    try:
        client.chat.completions.create(
            model="echo-1", messages=[{"role": "user", "content": "good morning"}], max_tokens=20
        )
    except openai.APIStatusError as exc:
        return str(exc.code)
    return ""


def becomes(client, wanted) -> bool:
    """Whether a call's end becomes what is wanted, within some seconds."""
    ends_s = time.monotonic() + 8
    while time.monotonic() < ends_s:
        if said(client) == wanted:
            return True
    return False


def test_money_is_paid_in_drawn_on_and_a_budget_raised_by_two(studio):
    started = start(studio)
    try:
        with started.client() as client:
            assert said(client) == "cover_used_up"
            top_up = ("wallet", "top-up", "acme-2026", "0.5", "--key", "bank-1", "--json")
            assert json.loads(run(studio, *top_up))["new"]
            assert not json.loads(run(studio, *top_up))["new"]
            assert json.loads(run(studio, "wallet", "show", "--json")) == {"acme-2026": "0.5"}
            assert becomes(client, "")
            assert becomes(client, "insufficient_quota")
            rows = json.loads(run(studio, "budgets", "list", "--json"))
            month, contract = (each["purse"] for each in rows)
            assert (month[:13], contract) == ("budget/month/", "contract/acme-2026")
            assert [each["size"] for each in rows] == ["0.002", "0.5"]
            asked = json.loads(
                run(studio, "budgets", "raise", month, "--to", "0.004", "--by", "ann", "--json")
            )["id"]
            assert "somebody else" in run(
                studio, "budgets", "approve", asked, "--by", "ann", status=1
            )
            run(studio, "budgets", "approve", asked, "--by", "bob")
            assert "approved already" in run(
                studio, "budgets", "reject", asked, "--by", "cy", status=1
            )
            assert becomes(client, "")
            shown = json.loads(run(studio, "budgets", "show", month, "--json"))
            assert (shown["size"], shown["raises"][0]["decided_by"]) == ("0.004", "bob")
            notice = json.loads(run(studio, "budgets", "notices", "--json").splitlines()[0])
            assert (notice["specversion"], notice["subject"]) == ("1.0", month)
            assert notice["data"]["percent"] == "50"
    finally:
        stop(started)
    run(studio, "clerk", "--once")
    run(studio, "audit")
    with sqlite3.connect(studio / "allowances.db") as store:
        store.execute("UPDATE allowance_pots SET spent = spent + 1")
    assert "shared limits are not" in run(studio, "audit", status=1)
    with sqlite3.connect(studio / "steelyard.db") as books:
        query = "SELECT debit, credit, amount_pico FROM transfers WHERE code = 'receipt'"
        assert books.execute(query).fetchall() == [
            ("cash/received", "customer/acme/paid", str(5 * 10**11))
        ]


def test_a_worker_that_is_lost_with_its_machine_is_named_and_given_up(studio):
    engine = app.open_database(app.load_studio(studio))
    Roster(engine).enter("gateway-of-the-lost", "elsewhere")
    engine.dispose()
    started = start(studio)
    try:
        with started.client() as client:
            top_up = ("wallet", "top-up", "acme-2026", "0.5", "--key", "bank-1")
            run(studio, *top_up)
            assert becomes(client, "cover_unknown")
            assert "awaited: gateway-of-the-lost" in run(studio, "budgets", "list")
            run(studio, "budgets", "lost", "nobody", status=1)
            run(studio, "budgets", "lost", "gateway-of-the-lost")
            assert becomes(client, "")
            assert "awaited" not in run(studio, "budgets", "list")
    finally:
        stop(started)
