"""A limit that the workers of a whole studio keep together, on each backend, also when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator

import httpx2
import msgspec
import pytest
import sqlalchemy as sa
from valkey import Valkey

from steelyard.covering import ALLOWANCES_VARIABLE
from steelyard.values.usage import UsageRecord
from tests.fixtures.gateway import SECRET, read, write_studio
from tests.fixtures.whole import Up, run, up
from tests.store import conftest as databases

pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(120)]

postgresql, valkey = databases.postgresql, databases.valkey

LIMITS = """
[[limit]]
id = "minute"
of = "customer"
tokens_per_minute = 100

[[limit]]
id = "day"
of = "customer"
models = ["echo-*"]
tokens_per_day = 150
zone = "Asia/Shanghai"
"""
WORKERS, CALLS = 4, 40
ASKED = {"model": "echo-1", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


@pytest.fixture(params=["sqlite", "postgresql", "valkey"])
def env(request, tmp_path) -> Iterator[dict[str, str]]:
    """Where the limits are kept."""
    if request.param == "sqlite":
        yield {}
    elif request.param == "valkey":
        url = request.getfixturevalue("valkey")
        Valkey.from_url(url).flushall()
        yield {ALLOWANCES_VARIABLE: url}
    else:
        server, name = request.getfixturevalue("postgresql"), f"t{abs(hash(str(tmp_path))):x}"
        admin = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            yield {ALLOWANCES_VARIABLE: server.format(name).replace("+psycopg", "")}
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


async def ask(url: str) -> httpx2.Response:
    """A call on a connection of its own, so that it comes to any worker."""
    async with httpx2.AsyncClient(timeout=20) as client:
        headers = {"authorization": f"Bearer {SECRET}"}
        return await client.post(f"{url}/chat/completions", json=ASKED, headers=headers)


async def many(studio: Up) -> list[httpx2.Response]:
    return await asyncio.gather(*(ask(studio.url) for _ in range(CALLS)))


def tokens(each: UsageRecord) -> int:
    return each.meters.get("input_tokens", 0) + each.meters.get("output_tokens", 0)


async def until(what: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 30
    while not what():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.1)


async def test_calls_at_four_workers_spend_no_more_than_one_minute_and_one_day(tmp_path, env):
    folder = write_studio(tmp_path / "studio", [], "queue_s = 5")
    with (folder / "steelyard.toml").open("a", encoding="utf-8") as file:
        file.write(LIMITS)

    def records() -> list[UsageRecord]:
        return read(folder / "journal", UsageRecord)

    with up(folder, "--workers", str(WORKERS), env=env) as studio:
        told = await many(studio)
        served = [each for each in told if each.status_code == 200]
        assert 2 <= len(served) < CALLS
        assert {each.status_code for each in told} == {200, 429}
        refused = next(each for each in told if each.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert 0 < int(refused.headers["retry-after"]) <= 61
        lefts = [int(each.headers["x-ratelimit-remaining-tokens"]) for each in served]
        assert all(0 <= left < 100 for left in lefts)
        await until(lambda: len(records()) == len(served))
        spent = sum(map(tokens, records()))
        assert 20 < spent <= 100, "no more than there is, however few a busy machine lets through"
        for name, pid in studio.pids.items():
            if name.startswith("gateway"):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(1)
        told = await many(studio)
        assert {each.status_code for each in told} <= {200, 429, 503}
        await until(lambda: len(records()) >= len(served))
        assert sum(map(tokens, records())) <= 100, "a minute survives those who had it"
    audited = run(folder, "audit", "--json", env=env)
    assert msgspec.json.decode(audited.stdout)["whole"], audited.stdout + audited.stderr
