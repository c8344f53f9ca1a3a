"""Stop when used up, over real sockets: 403 for what is gone, 429 for what comes back.

What can be drawn on like a budget is, exactly; the rest is looked up in what is booked.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from valkey import Valkey

from steelyard.cli.main import cli
from steelyard.covering import ALLOWANCES_VARIABLE
from steelyard.values.usage import UsageRecord
from tests.fixtures.gateway import Deployed, Gateway, read, start, stop, write_studio
from tests.fixtures.whole import up
from tests.store import conftest as databases

postgresql, url_of, valkey = databases.postgresql, databases.url_of, databases.valkey

HELLO: Any = [{"role": "user", "content": "good morning to you"}]
GIVEN = """
[[grant]]
id = "welcome"
model = "free"
tokens = 5
not_service_tier = "batch"
from = 2026-01-01
used_up = "stop"

[[subscription]]
id = "plan"
model = "plan"
from = 2026-01-01
includes = { calls = { month = 100, "5h" = 2 } }
used_up = "stop"

[[grant]]
id = "paid"
model = "paid"
tokens = 5
from = 2026-01-01
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("stopping")
    write_studio(folder, [Deployed("free"), Deployed("plan"), Deployed("paid")])
    path = folder / "contracts" / "acme.toml"
    path.write_text(path.read_text("utf-8") + GIVEN, "utf-8")
    started = start(folder)
    try:
        yield started
    finally:
        stop(started)


def ask(gateway: Gateway, model: str) -> Any:
    with gateway.client() as client:
        return client.chat.completions.create(model=model, messages=HELLO)


def stopped(gateway: Gateway, model: str, kind: type[openai.APIStatusError]) -> Any:
    """Ask until the call is refused: the books are looked at every second."""
    return _until(lambda: _refusal(gateway, model, kind))


def _refusal(gateway: Gateway, model: str, kind: type[openai.APIStatusError]) -> Any:
    try:
        ask(gateway, model)
    except kind as exc:
        return exc
    return None


def _until(found: Callable[[], Any]) -> Any:
    last = time.monotonic() + 15
    while time.monotonic() < last:
        if (got := found()) is not None:
            return got
        time.sleep(0.1)
    pytest.fail("it was never refused")


def test_a_call_is_refused_once_what_stops_is_booked_as_used_up(gateway):
    for model in ("free", "plan", "plan", "paid"):
        assert ask(gateway, model).usage.total_tokens > 5
    booked = CliRunner().invoke(cli, ["--studio", str(gateway.folder), "clerk", "--once"])
    assert booked.exit_code == 0, booked.output
    gone = stopped(gateway, "free", openai.PermissionDeniedError)
    assert gone.code == "cover_used_up"
    assert "grant 'welcome' of contract 'acme-2026'" in gone.message
    later = stopped(gateway, "plan", openai.RateLimitError)
    assert later.code == "insufficient_quota"
    assert 4 * 3600 < int(later.response.headers["retry-after"]) <= 5 * 3600 + 300
    assert ask(gateway, "paid").usage.total_tokens > 5
    assert ask(gateway, "echo-1").usage.total_tokens > 5


QUOTA = """
[[grant]]
id = "quota"
model = "free"
tokens = 6_000
from = 2026-01-01
used_up = "stop"

[[grant]]
id = "monthly"
model = "monthly"
tokens = 3_000
every = "month"
from = 2026-01-01
used_up = "stop"
"""
QUOTA_TOKENS, WORST_TOKENS = 6_000, 800


def outcome(client: openai.OpenAI, model: str, tokens: int = 40) -> str:
    try:
        client.chat.completions.create(
            model=model,
            messages=HELLO,
            max_tokens=tokens,
            extra_body={"echo": {"words": tokens}},
        )
    except openai.APIStatusError as exc:
        return str(exc.code)
    return ""


def used(folder: Path, model: str) -> int:
    meters = [e.meters for e in read(folder / "journal", UsageRecord) if e.model == model]
    return sum(units for each in meters for name, units in each.items() if "tokens" in name)


@pytest.fixture(params=databases.ALLOWANCES[1:])
def allowances(request, monkeypatch) -> None:
    """Shared limits are kept in a file, in PostgreSQL, in Valkey."""
    if request.param == "valkey":
        server = request.getfixturevalue("valkey")
        Valkey.from_url(server).flushall()
        monkeypatch.setenv(ALLOWANCES_VARIABLE, server)
    elif request.param == "postgresql":
        url = sa.make_url(request.getfixturevalue("url_of")(request.param))
        url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        monkeypatch.setenv(ALLOWANCES_VARIABLE, url)


@pytest.mark.usefixtures("allowances")
def test_a_quota_in_tokens_is_never_exceeded_by_calls_at_once_at_several_workers(tmp_path):
    """One of two workers is killed; nothing is booked yet, so nobody could look it up."""
    write_studio(tmp_path, [Deployed("free"), Deployed("monthly")], "queue_s = 5")
    path = tmp_path / "contracts" / "acme.toml"
    path.write_text(path.read_text("utf-8") + QUOTA, "utf-8")
    with up(tmp_path, "--workers", "2") as studio, ThreadPoolExecutor(16) as pool:

        def outcomes(calls: int) -> set[str]:
            return {*pool.map(lambda _: outcome(client, "free"), range(calls))}

        with studio.client() as client:
            assert outcomes(32) == {""}, "there is enough for these"
        os.kill(studio.pids["gateway 1"], signal.SIGKILL)
        with studio.client() as client:
            while (found := outcomes(32)) != {"cover_used_up"}:
                assert found <= {"", "cover_used_up", "cover_held"}
            month = [outcome(client, "monthly", 4000) for _ in range(12)]
            assert (month[0], month[-1]) == ("", "insufficient_quota")
    assert QUOTA_TOKENS - WORST_TOKENS < used(tmp_path, "free") <= QUOTA_TOKENS
    assert used(tmp_path, "monthly") <= 3000
    for command in (("clerk", "--once"), ("audit",)):
        done = CliRunner().invoke(cli, ["--studio", str(tmp_path), *command])
        assert done.exit_code == 0, done.output
    assert not transfers(tmp_path, "sales/acme-2026/free"), "all of it was covered"


def transfers(folder: Path, account: str) -> list[str]:
    with sqlite3.connect(folder / "steelyard.db") as books:
        query = "SELECT amount_pico FROM transfers WHERE credit = ?"
        return [row[0] for row in books.execute(query, [account])]
