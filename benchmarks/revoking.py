"""Revoking: how long a key still opens, at eight workers that are busy, once it was revoked.

`steelyard up --workers 8`; 64 connections call without a pause, each at the worker that the kernel
gave it to, and each call draws on a budget. A key is revoked in the database; the last call that
began after that and was answered tells how long it went on. Keys are in SQLite, with shared limits
in SQLite; and in PostgreSQL, with shared limits in PostgreSQL and in Valkey.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks import backends
from steelyard import app, covering
from steelyard.governance.keys import Key, digest
from steelyard.metering import segments
from steelyard.store import engines
from steelyard.system import SystemClock

WORKERS, CONNECTIONS, ROUNDS = 8, 64, 10
BACKENDS = ("sqlite", "postgresql", "valkey")
PREFIX = "steelyard-bench-"
WARM_S = 1.0
STOP_S = 60

STUDIO = """
[studio]
name = "Bench"
operator = "house"
[[earner]]
id = "house"
[[customer]]
id = "acme"
[[model]]
id = "echo"
family = "Mock"
developer = "Bench"
licence = "Apache-2.0"
source = "https://example.org"
checked = 2026-11-24
[[deployment]]
id = "echo"
model = "echo"
kind = "echo"
provider = "house"
[[budget]]
id = "acme"
of = "customer"
amount = "1000000.00"
currency = "USD"
per = "month"
"""
CONTRACT = """
id = "acme"
customer = "acme"
currency = "USD"
valid_from = 2026-01-01
[[price]]
model = "*"
per_million = { input = "1", output = "2" }
"""


def measure(*, quick: bool = False) -> dict[str, dict[str, float]]:
    """Revoke a key so many times on each backend; how long the slowest and the middle one took."""
    found: dict[str, dict[str, float]] = {}
    for name in BACKENDS:
        with _databases(name) as databases, tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            found[name] = _measured(Path(folder), databases, 2 if quick else ROUNDS)
    return found


def tell(found: dict[str, dict[str, float]]) -> str:
    """A line a figure."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def _measured(folder: Path, databases: Mapping[str, str], rounds: int) -> dict[str, float]:
    with _up(folder, databases) as address:
        url = databases.get(app.DATABASE_VARIABLE) or engines.sqlite_url(folder / "steelyard.db")
        took = asyncio.run(_rounds(url, address, rounds))
        writers = len(segments.writers(folder / "journal"))
    took_ms = sorted(each * 1000 for each, _ in took)
    return {
        "workers_count": writers,
        "rounds_count": len(took),
        "calls_count": sum(calls for _, calls in took),
        "revoked_p50_ms": round(took_ms[len(took_ms) // 2], 1),
        "revoked_max_ms": round(took_ms[-1], 1),
    }


@contextmanager
def _databases(name: str) -> Generator[Mapping[str, str]]:
    """Where keys and shared limits are, by the variables that say so."""
    with ExitStack() as opened:
        if name == "sqlite":
            yield {}
            return
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
        database = opened.enter_context(backends.postgresql(folder)).url
        shared = database
        if name == "valkey":
            shared = opened.enter_context(backends.valkey(folder)).url
        yield {app.DATABASE_VARIABLE: database, covering.ALLOWANCES_VARIABLE: shared}


@contextmanager
def _up(folder: Path, databases: Mapping[str, str]) -> Generator[tuple[str, int]]:
    (folder / "contracts").mkdir()
    (folder / "steelyard.toml").write_text(STUDIO, "utf-8")
    (folder / "contracts" / "acme.toml").write_text(CONTRACT, "utf-8")
    options = ("--studio", str(folder), "up", "--json", "--port", "0", "--workers", str(WORKERS))
    process = subprocess.Popen(
        (sys.executable, "-m", "steelyard", *options),
        env={**os.environ, **databases},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = msgspec.json.decode(process.stdout.readline())
        host, port = ready["url"].removeprefix("http://").split("/")[0].split(":")
        yield host, int(port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


async def _rounds(url: str, address: tuple[str, int], rounds: int) -> list[tuple[float, int]]:
    database = engines.open_engine(url)
    keys = app.open_keys(database)
    found: list[tuple[float, int]] = []
    for number in range(rounds):
        secret = f"sk-sy-bench-{number}"
        now_us = SystemClock().wall_us()
        keys.add(
            Key(
                id=f"key-{number}",
                customer="acme",
                contract="acme",
                sha256=digest(secret),
                created_us=now_us,
            )
        )
        callers = [asyncio.create_task(_call(address, secret)) for _ in range(CONNECTIONS)]
        await asyncio.sleep(WARM_S)
        await asyncio.to_thread(keys.revoke, f"key-{number}", SystemClock().wall_us())
        revoked_s = time.monotonic()
        last = await asyncio.gather(*callers)
        slowest = max(began_s for began_s, _ in last) - revoked_s
        found.append((max(0.0, slowest), sum(calls for _, calls in last)))
    database.dispose()
    return found


async def _call(address: tuple[str, int], secret: str) -> tuple[float, int]:
    """Call until the key opens nothing any more: when the last answered call began, how many."""
    said = {"role": "user", "content": "to be or not to be"}
    body = msgspec.json.encode({"model": "echo", "messages": [said], "max_tokens": 16})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(*address)
    began_s, calls = 0.0, 0
    while True:
        at_s = time.monotonic()
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if answer.split(b" ", 2)[1] == b"200":
            began_s, calls = at_s, calls + 1
        elif calls:
            writer.close()
            return began_s, calls
