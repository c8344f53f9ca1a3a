"""Two machines with one database and one object store: a day's calls, a killed clerk, partitions.

The object store is rclone's S3 server, the database PostgreSQL, the store of shared limits Valkey;
each machine is a folder and a `steelyard up` of its own, and reaches the last two by ways of its
own that can be cut.
"""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
import sqlalchemy as sa
from valkey import Valkey

from steelyard.dispatch.leasing import is_building
from steelyard.store import tables
from steelyard.store.valkey_allowances import ValkeyAllowances
from tests.fixtures import s3
from tests.fixtures.gateway import OTHER_SECRET, SECRET, write_studio
from tests.fixtures.whole import Up, run, up
from tests.store import conftest as databases

pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(120)]

DAY = Path(__file__).parent / "data" / "traces" / "servegen-r1-hours.csv"
THINNED = 240
SHORTENED = 40
ANSWERED, USED_UP, HELD, UNKNOWN = 200, 403, 429, 503
AT_ONCE = 4
AN_HOUR = 6

postgresql, valkey = databases.postgresql, databases.valkey


class Call(NamedTuple):
    """How long a call's prompt and its answer are. Unit: words."""

    prompt: int
    answer: int


SETTINGS = """
[clerk]
lease_s = 2
poll_ms = 100

[journal]
segment_s_max = 1

[[budget]]
id = "globex"
of = "customer"
customers = ["globex"]
amount = "0.006"
currency = "USD"
per = "total"
"""

BUDGET_PICO, WORST_PICO = 6_000_000_000, 1_000_000_000
BUDGETED = Call(5, 30)
"""A call of globex's, of which there are more than its budget covers."""


def day() -> list[list[Call]]:
    """The calls of each hour: a part of them, each of its hour's mean length, shortened."""
    hours: list[list[Call]] = []
    with DAY.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of = int(row["calls"]) * SHORTENED
            output = int(row["output_tokens"]) + int(row["reasoning_tokens"])
            call = Call(int(row["input_tokens"]) // of, output // of)
            hours.append([call] * (int(row["calls"]) // THINNED))
    return hours


class Way:
    """A machine's own way to a server, that can be cut: to a socket or a port, by the same."""

    def __init__(self, to: Path | int, folder: Path) -> None:
        self._to = to
        self._path = folder / to.name if isinstance(to, Path) else None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._pass, self._path)
        else:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for each in self._open:
            each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self._to, Path):
            there, back = await asyncio.open_unix_connection(self._to)
        else:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, back}
        await asyncio.gather(_pour(reader, back), _pour(there, writer))
        self._open -= {writer, back}


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
    writer.close()


class Machine(NamedTuple):
    """What a machine reaches the others by, and its environment says."""

    ways: tuple[Way, Way]
    env: Mapping[str, str]

    def cut(self) -> None:
        for way in self.ways:
            way.cut()

    async def mend(self) -> None:
        for way in self.ways:
            await way.mend()


class Studio(NamedTuple):
    """What the machines have in common."""

    machines: tuple[Machine, Machine]
    server: s3.S3
    database: sa.Engine


@pytest.fixture
async def shared(tmp_path, postgresql, valkey) -> AsyncGenerator[Studio]:
    """A database, a store of shared limits and an object store, as two machines know them."""
    name = f"t{abs(hash(str(tmp_path))):x}"
    admin = sa.create_engine(postgresql.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    Valkey.from_url(valkey).flushall()
    url = sa.make_url(postgresql.format(name))
    database = sa.create_engine(url)
    with s3.serving(tmp_path / "s3") as server, ExitStack() as folders:
        machines: list[Machine] = []
        for _ in range(2):
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="sy-")))
            there = Path(str(url.query["host"])) / f".s.PGSQL.{url.port or 5432}"
            ways = Way(there, folder), Way(urlsplit(valkey).port or 6379, folder)
            for way in ways:
                await way.mend()
            by_way = url.set(drivername="postgresql").update_query_dict({"host": str(folder)})
            env = {
                "STEELYARD_DATABASE": by_way.render_as_string(hide_password=False),
                "STEELYARD_ALLOWANCES": f"valkey://127.0.0.1:{ways[1].port}",
            }
            machines.append(Machine(ways, {**server.env, **env}))
        first, second = machines
        yield Studio((first, second), server, database)
        for machine in machines:
            machine.cut()
    database.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def holder(database: sa.Engine) -> tuple[int, int]:
    """The process that has the clerk's lease, and the lease's token."""
    with database.connect() as connection:
        row = connection.execute(sa.select(tables.leases)).one()
    return int(row.holder.split()[-1]), row.token


def booked(database: sa.Engine) -> int:
    with database.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(tables.calls)) or 0


def charged(database: sa.Engine, account: str) -> int:
    """What was charged in all. Unit: pico-units."""
    with database.connect() as connection:
        rows = connection.execute(sa.select(tables.balances)).all()
    return sum(row.debit_pico for row in rows if row.account == account)


async def until(what, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(what):  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.1)


async def hour(studio: Up, calls: list[Call], statuses: Counter[tuple[str, int]]) -> None:
    """An hour's calls, a few at once: acme's as they come, and some of globex's among them."""
    waiting = iter(
        [("acme", SECRET, call) for call in calls] + [("globex", OTHER_SECRET, BUDGETED)] * AN_HOUR
    )

    async def caller(client: httpx2.AsyncClient) -> None:
        for customer, secret, call in waiting:
            body = {
                "model": "echo-1",
                "messages": [{"role": "user", "content": "word " * call.prompt}],
                "max_tokens": call.answer,
                "echo": {"words": call.answer},
            }
            headers = {"authorization": f"Bearer {secret}"}
            got = await client.post(f"{studio.url}/chat/completions", json=body, headers=headers)
            statuses[customer, got.status_code] += 1

    async with httpx2.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(caller(client) for _ in range(AT_ONCE)))


@asynccontextmanager
async def both(folders: list[Path], machines: Iterable[Machine]) -> AsyncGenerator[list[Up]]:
    """Two machines, each of which serves and may book."""
    roles = ("--role", "gateway", "--role", "clerk")
    first, second = (
        up(folder, *roles, env=each.env) for folder, each in zip(folders, machines, strict=True)
    )
    started = [await asyncio.to_thread(each.__enter__) for each in (first, second)]
    try:
        yield started
    finally:
        for each in (first, second):
            await asyncio.to_thread(each.__exit__, None, None, None)


async def prove(folders: list[Path], env: Mapping[str, str], calls: int) -> None:
    """See on each machine that the books have each call once, and are whole."""
    once = await asyncio.to_thread(lambda: run(folders[0], "clerk", "--once", env=env))
    assert once.returncode == 0, once.stderr
    for folder in folders:
        audited = await asyncio.to_thread(
            lambda folder=folder: run(folder, "audit", "--json", env=env)
        )
        assert audited.returncode == 0, audited.stderr
        proof = msgspec.json.decode(audited.stdout)
        assert proof["whole"], audited.stdout
        assert (proof["calls"], proof["unbooked"], proof["conflicts"]) == (calls, 0, 0)
        assert proof["duplicates"] == 0, "no segment was booked twice"


async def test_a_day_at_two_machines_is_booked_whole(tmp_path, shared):
    folders = [write_studio(tmp_path / name, [], SETTINGS) for name in "ab"]
    hours, statuses = day(), Counter[tuple[str, int]]()
    async with both(folders, shared.machines) as studios:

        async def serve(first: int, last: int) -> None:
            for each in hours[first:last]:
                await asyncio.gather(*(hour(studio, each, statuses) for studio in studios))

        await serve(0, 8)
        await until(lambda: booked(shared.database))
        pid, token = holder(shared.database)
        os.kill(pid, signal.SIGKILL)
        await serve(8, 12)
        await until(lambda: holder(shared.database)[1] > token)
        before = booked(shared.database)
        shared.server.stop()
        await serve(12, 16)
        await asyncio.to_thread(shared.server.start)
        shared.machines[1].cut()
        await serve(16, 20)
        await shared.machines[1].mend()
        await serve(20, 24)
        total = sum(calls for (_, status), calls in statuses.items() if status == ANSWERED)
        await until(lambda: booked(shared.database) > before)
    assert statuses["acme", ANSWERED] == 2 * sum(map(len, hours))
    refused = {status for customer, status in statuses if (customer, status) != ("acme", ANSWERED)}
    assert refused <= {ANSWERED, USED_UP, UNKNOWN}
    assert statuses["globex", ANSWERED]
    assert statuses["globex", USED_UP]
    await prove(folders, shared.machines[0].env, total)
    spent = charged(shared.database, "customer/globex/unbilled")
    assert BUDGET_PICO - WORST_PICO < spent <= BUDGET_PICO, "what is left is too little for a call"
    assert {each.name for each in (folders[0] / "journal").iterdir()}.isdisjoint(
        each.name for each in (folders[1] / "journal").iterdir()
    )


async def test_a_store_of_limits_that_is_wiped_in_traffic_gives_nothing_out_twice(
    tmp_path, shared, valkey
):
    """One machine's worker stands still while the store is lost, the other's is killed later."""
    folders = [write_studio(tmp_path / name, [], f"queue_s = 1\n{SETTINGS}") for name in "ab"]
    statuses, store = Counter[tuple[str, int]](), Valkey.from_url(valkey)
    limits = ValkeyAllowances(valkey)

    async def serve(studios: list[Up]) -> None:
        await asyncio.gather(*(hour(studio, [], statuses) for studio in studios))

    async def refused(studio: Up) -> None:
        """Call until there is nothing more to have."""
        while statuses["globex", UNKNOWN] + statuses["globex", USED_UP] == 0:
            await hour(studio, [], statuses)

    async with both(folders, shared.machines) as studios:
        first, second = studios
        await serve(studios)
        os.kill(second.pids["gateway"], signal.SIGSTOP)
        store.flushall()
        await refused(first)
        assert statuses["globex", UNKNOWN], "nobody knows what the other holds"
        os.kill(second.pids["gateway"], signal.SIGCONT)
        await until(lambda: not is_building(limits.state()[0]))
        os.kill(first.pids["gateway"], signal.SIGKILL)
        store.flushall()
        while not statuses["globex", USED_UP]:
            await serve([second])
    store.flushall()
    for each in (store, limits):
        each.close()
    assert {status for _, status in statuses} <= {ANSWERED, USED_UP, HELD, UNKNOWN}
    await prove(folders, shared.machines[0].env, statuses["globex", ANSWERED])
    spent = charged(shared.database, "customer/globex/unbilled")
    assert BUDGET_PICO - WORST_PICO < spent <= BUDGET_PICO
