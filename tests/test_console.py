"""The console on a machine of its own: it reads what two others have booked, and writes nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from tests import test_machines
from tests.fixtures.gateway import OTHER_SECRET, SECRET, write_studio
from tests.fixtures.whole import Up, run, up

pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(120)]
postgresql, valkey = test_machines.postgresql, test_machines.valkey
shared = test_machines.shared

OPERATOR = "the operator's own key"
CONSOLE = """
[console]
port = 0
key_env = "CONSOLE_KEY"
"""
CALLS = {SECRET: 5, OTHER_SECRET: 3}


def call(studio: Up) -> None:
    for secret, calls in CALLS.items():
        with studio.client(secret) as client:
            for _ in range(calls):
                client.chat.completions.create(
                    model="echo-1",
                    max_tokens=16,
                    messages=[{"role": "user", "content": "to be or not to be"}],
                )


def reader_of(database: sa.Engine, url: str) -> str:
    """A database user that may only look; its URL."""
    with database.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS looker")
        connection.exec_driver_sql("CREATE ROLE looker LOGIN")
        connection.exec_driver_sql("GRANT pg_read_all_data TO looker")
    made = sa.make_url(url).set(username="looker", password=None)
    return made.render_as_string(hide_password=False)


def look(console: str, path: str, secret: str = OPERATOR) -> httpx2.Response:
    return httpx2.get(f"{console}{path}", auth=("", secret), timeout=30)


def rows(database: sa.Engine) -> dict[str, int]:
    with database.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        return {
            name: connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()
            for name in names
        }


async def test_it_shows_what_others_booked_and_changes_nothing(tmp_path, shared):
    there, here = shared.machines
    machine = write_studio(tmp_path / "a", [], test_machines.SETTINGS)
    own = write_studio(tmp_path / "b", [], test_machines.SETTINGS + CONSOLE)

    def serve() -> str:
        with up(machine, "--role", "gateway", "--role", "clerk", env=there.env) as studio:
            call(studio)
        assert run(machine, "clerk", "--once", env=there.env).returncode == 0
        (month,) = months(shared.database)
        closed = run(machine, "close", month, "--early", env=there.env)
        assert closed.returncode == 0, closed.stderr
        return month

    month = await asyncio.to_thread(serve)
    env = {**here.env, "CONSOLE_KEY": OPERATOR}
    looker = reader_of(shared.database, env["STEELYARD_DATABASE"])
    env["STEELYARD_DATABASE"] = looker
    before = rows(shared.database)

    loop = asyncio.get_running_loop()

    def browse() -> None:
        with up(own, "--role", "console", env=env) as studio:
            assert set(studio.pids) == {"console"}
            assert studio.console
            check_operator(studio.console, month)
            check_customers(studio.console, month)
            loop.call_soon_threadsafe(here.cut)
            time.sleep(0.2)
            away = look(studio.console, "/")
            assert away.status_code == 503
            assert "database" in away.text
            asyncio.run_coroutine_threadsafe(here.mend(), loop).result()
            assert look(studio.console, "/").status_code == 200

    await asyncio.to_thread(browse)
    assert rows(shared.database) == before
    assert not (own / "journal").exists()


def months(database: sa.Engine) -> list[str]:
    with database.connect() as connection:
        query = "SELECT DISTINCT period FROM batch_periods"
        return list(connection.exec_driver_sql(query).scalars())


def check_operator(console: str, month: str) -> None:
    assert httpx2.get(console).status_code == 401
    page = look(console, "/")
    assert page.status_code == 200
    assert "Test studio" in page.text
    told = msgspec.json.decode(look(console, "/overview.json").content)
    assert told["books"]["calls"] == sum(CALLS.values())
    assert told["waiting"] == {"shipped": True, "segments": 0, "size_bytes": 0}
    assert [each["name"] for each in told["turns"]] == ["clerk"]
    assert told["months"] == [{"month": month, "closed": True, "unbilled": []}]
    (purse,) = told["limits"]["purses"]
    assert purse["purse"] == "budget/globex/customer=globex/total"
    assert (purse["size"], purse["leased"]) == ("0.006", "0")
    issued = msgspec.json.decode(look(console, f"/months/{month}.json").content)
    kinds = {each["kind"] for each in issued["documents"]}
    assert kinds == {"invoice", "statement"}
    for each in issued["documents"]:
        paper = look(console, each["files"]["html"])
        assert paper.status_code == 200
        assert each["number"] in paper.text
    assert "Where the money goes" in look(console, f"/months/{month}/money").text


def check_customers(console: str, month: str) -> None:
    """Each sees its own: what it used is what its invoice says."""
    for customer, secret in (("acme", SECRET), ("globex", OTHER_SECRET)):
        other = "globex" if customer == "acme" else "acme"
        account = msgspec.json.decode(look(console, "/overview.json", secret).content)
        assert account["customer"] == customer
        assert other not in look(console, "/", secret).text
        (invoice,) = account["documents"]
        paper = look(console, invoice["files"]["json"], secret)
        told = msgspec.json.decode(paper.content)
        used = msgspec.json.decode(
            look(console, f"/customers/{customer}/{month}.json", secret).content
        )
        assert used["totals"] == [{"amount": told["exact"], "currency": "USD"}]
        assert look(console, f"/customers/{other}", secret).status_code == 404
        assert look(console, f"/months/{month}", secret).status_code == 404
        purses = [each["purse"] for each in account["limits"]["purses"]]
        assert purses == (["budget/globex/customer=globex/total"] if customer == "globex" else [])
    stolen = msgspec.json.decode(look(console, f"/months/{month}.json").content)["documents"]
    for each in stolen:
        seen = look(console, each["files"]["txt"], SECRET).status_code
        assert seen == (200 if each["party"] == "acme" else 404)


def test_its_key_must_be_there_and_no_word(tmp_path):
    folder = write_studio(tmp_path, [], CONSOLE)
    for given in ({}, {"CONSOLE_KEY": "short"}):
        ran = run(folder, "console", env=given)
        assert ran.returncode == 1
        assert "CONSOLE_KEY is to have the operator's key" in ran.stderr


def test_on_one_machine_it_serves_beside_the_rest(tmp_path):
    folder: Path = write_studio(tmp_path, [], "\n[console]\nport = 0\n")
    roles = ("--role", "gateway", "--role", "clerk", "--role", "console")
    with up(folder, *roles) as studio:
        call(studio)
        assert set(studio.pids) == {"clerk", "console", "gateway"}
        page = httpx2.get(f"{studio.console}/overview.json")
        assert page.status_code == 200
        assert msgspec.json.decode(page.content)["studio"] == "Test studio"
        changed = (folder / "steelyard.toml").read_text("utf-8")
        broken = changed.replace('name = "Test studio"', "name = ")
        (folder / "steelyard.toml").write_text(broken, "utf-8")
        assert "Test studio" in httpx2.get(f"{studio.console}/").text
        renamed = changed.replace("Test studio", "Studio of tests")
        (folder / "steelyard.toml").write_text(renamed, "utf-8")
        assert "Studio of tests" in httpx2.get(f"{studio.console}/").text
