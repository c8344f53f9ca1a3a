"""Overspend: many calls at once on a budget that covers a tenth of them, and all that can fail.

Four processes admit 10,000 calls, 64 at a time, over sockets, on a budget that covers 1,000; in
most runs a worker is killed, the backend restarted (and forgets, where it can), or is away.

What was spent is counted from the journal.
"""

from __future__ import annotations

import asyncio
import bisect
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import budgeted
from benchmarks.admitting import MOST_PICO, PATIENCE_S
from benchmarks.backends import BACKENDS, Backend
from steelyard import app
from steelyard.catalogue.documents import Edition
from steelyard.clerk.releasing import Keeper, Spending
from steelyard.dispatch import purses
from steelyard.dispatch.leasing import AllowanceStore, StoreAwayError
from steelyard.metering import segments
from steelyard.store.allowances import SqlAllowances
from steelyard.store.valkey_allowances import SCHEMES, ValkeyAllowances
from steelyard.system import SystemClock
from steelyard.values.usage import UsageRecord

WORKERS, AT_ONCE, CALLS, RUNS = 4, 64, 10_000, 50
SIZE_PICO = 550_000 * 10**6
"""A call takes 550 millionths, all in all."""

FAULTS = ("none", "kill", "restart", "none", "away")
SPEND_SLACK_S = 0.001

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
id = "run"
of = "key"
amount = "0.55"
currency = "USD"
per = "total"
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


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Lines = dict[int, Line]


class Told(NamedTuple):
    """What one call heard. Unit: seconds; ``used`` pico-units, None: it was refused, or lost."""

    began_s: float
    ended_s: float
    code: str
    used: int | None
    waited_s: float


def measure(*, quick: bool = False, only: str = "") -> dict[str, object]:
    """All backends, one after the other; a check before an increment; LiteLLM's budget."""
    runs = len(FAULTS) if quick else RUNS
    found: dict[str, object] = {}
    of_all: list[Mapping[str, float]] = []
    for name in [only] if only else BACKENDS:
        began_s = time.monotonic()
        one = asyncio.run(_backend(name, runs))
        of_all.append(one)
        found[name] = {**one, "seconds": round(time.monotonic() - began_s, 1)}
    found["naive_overspent_share"] = _naive()
    if not only:
        found |= budgeted.measure()
    return {
        "runs": sum(int(each["runs"]) for each in of_all),
        "overspent_runs": sum(int(each["overspent_runs"]) for each in of_all),
        "used_share_min": min(each["used_share_min"] for each in of_all),
        "false_refusals": sum(int(each["false_refusals"]) for each in of_all),
        **found,
    }


def tell(found: Mapping[str, object]) -> str:
    """A line a figure."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


async def _backend(name: str, runs: int) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    try:
        (folder / "contracts").mkdir()
        (folder / "steelyard.toml").write_text(STUDIO, "utf-8")
        (folder / "contracts" / "acme.toml").write_text(CONTRACT, "utf-8")
        with BACKENDS[name](folder) as backend:
            scene = Scene(folder, backend)
            try:
                await scene.start()
                heard = [await scene.run(number) for number in range(runs)]
            finally:
                await scene.stop()
        spent = _spent(folder)
        return {
            "runs": runs,
            "overspent_runs": sum(spent.get(f"run-{n}", 0) > SIZE_PICO for n in range(runs)),
            "used_share_min": min(spent.get(f"run-{n}", 0) for n in range(runs)) / SIZE_PICO,
            "false_refusals": sum(map(false_refusals, heard)),
            "lost_calls": sum(each.code == "lost" for told in heard for each in told),
            "away_calls": sum(each.code == "cover_unknown" for told in heard for each in told),
            "held_calls": sum(each.code == "cover_held" for told in heard for each in told),
            "p50_ms": 1000 * _median(e.ended_s - e.began_s for t in heard for e in t if e.used),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Scene:
    """Four workers, a backend, and who keeps it true to the journal."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self._folder = folder
        self._backend = backend
        self._workers: list[tuple[asyncio.subprocess.Process, int]] = []
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)

    async def start(self) -> None:
        """Start everything."""
        self._keeper.start()
        self._workers = await asyncio.gather(*(self._worker() for _ in range(WORKERS)))

    async def stop(self) -> None:
        """End everything."""
        self._over.set()
        for process, _ in self._workers:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.to_thread(self._keeper.join)

    async def run(self, number: int) -> list[Told]:
        """One budget used up; what each of its calls heard."""
        chance = random.Random(number)
        fault = FAULTS[number % len(FAULTS)]
        left = iter(range(CALLS))
        told: list[Told] = []
        calling = [
            asyncio.create_task(self._call(number, left, told, place)) for place in range(AT_ONCE)
        ]
        if fault != "none":
            await asyncio.sleep(chance.uniform(0.02, 0.3))
            await self._strike(fault, chance)
        await asyncio.gather(*calling)
        return told

    async def _strike(self, fault: str, chance: random.Random) -> None:
        if fault == "kill":
            place = chance.randrange(WORKERS)
            self._workers[place][0].kill()
            await self._workers[place][0].wait()
            self._workers[place] = await self._worker()
        else:
            act = self._backend.restart if fault == "restart" else self._backend.away
            await asyncio.to_thread(act)

    async def _worker(self) -> tuple[asyncio.subprocess.Process, int]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.admitting", str(self._folder), self._backend.url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        return process, int(await process.stdout.readline())

    async def _call(self, run: int, left: Iterable[int], told: list[Told], place: int) -> None:
        lines: Lines = {}
        for number in left:
            port = await self._reach(lines, place + number)
            reader, writer = lines[port]
            began_s = time.monotonic()
            try:
                writer.write(b"%d\n" % run)
                words = (await reader.readline()).split()
            except OSError:
                words = []
            ended_s = time.monotonic()
            if not words:
                lines.pop(port, None)
                told.append(Told(began_s, ended_s, "lost", None, 0))
                continue
            code, figure = words[0].decode(), int(words[1])
            used = figure if code == "ok" else None
            told.append(Told(began_s, ended_s, code, used, 0 if used else figure / 1e6))
        for _, writer in lines.values():
            writer.close()

    async def _reach(self, lines: Lines, place: int) -> int:
        """Have a line to a worker that is there; its port."""
        while True:
            port = self._workers[place % WORKERS][1]
            try:
                if port not in lines:
                    lines[port] = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                place += 1
                await asyncio.sleep(0.001)
            else:
                return port

    def _keep(self) -> None:
        opened = app.load_studio(self._folder)
        funds = purses.funds(opened.edition, opened.budgets)

        def editions(numbers: Iterable[int]) -> Mapping[int, Edition]:
            return dict.fromkeys(numbers, opened.edition)

        spending = Spending(funds, dict, editions)
        store = _open(self._backend.url)
        journal = self._folder / "journal"
        keeper = Keeper(store, journal, spending, purses.stamp(funds), SystemClock())
        while not self._over.wait(0.1):
            with suppress(StoreAwayError):
                keeper.keep()
        store.close()


def _open(url: str) -> AllowanceStore:
    return ValkeyAllowances(url) if url.startswith(SCHEMES) else SqlAllowances(url)


def false_refusals(told: list[Told]) -> int:
    """Calls that were turned away although they need not have been.

    Cover for their worst case lay unheld anywhere, or they had not waited their deadline for holds
    to come back, and all that was spent left room for them. A store that is away can give nothing,
    whatever lies there: those are counted by themselves.
    """
    paid = sorted(each for each in told if each.used or each.code == "lost")
    begins = [each.began_s for each in paid]
    least = [0, *accumulate(each.used or MOST_PICO for each in paid)]
    found = 0
    for each in told:
        if each.used is not None or each.code in {"lost", "cover_unknown"}:
            continue
        before = bisect.bisect(begins, each.ended_s)
        taken = least[before]
        if each.waited_s >= PATIENCE_S - SPEND_SLACK_S:
            held = (e for e in paid[:before] if e.used and e.ended_s >= each.ended_s)
            taken += sum(MOST_PICO - (e.used or 0) for e in held)
        found += SIZE_PICO - taken >= MOST_PICO
    return found


def _spent(folder: Path) -> dict[str, int]:
    """What each run spent, as the journal has it."""
    spent: dict[str, int] = {}
    for segment in segments.segments(folder / "journal"):
        for _, _, item in segments.read(segment.path):
            if isinstance(item, UsageRecord):
                meters = item.meters
                tokens = meters.get("input_tokens", 0) + 2 * meters.get("output_tokens", 0)
                spent[item.key_id] = spent.get(item.key_id, 0) + tokens * 10**6
    return spent


def _naive() -> float:
    """How much of a budget is spent where the check comes before the call, the sum after it."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "naive.db"
        with sqlite3.connect(file) as made:
            made.execute("CREATE TABLE spent (pico INTEGER)")
            made.execute("INSERT INTO spent VALUES (0)")
        return asyncio.run(_naively(file)) / SIZE_PICO


async def _naively(file: Path) -> int:
    chance = random.Random(1)
    books = sqlite3.connect(file, isolation_level=None)
    left = iter(range(CALLS))

    async def call() -> None:
        for _ in left:
            (spent,) = books.execute("SELECT pico FROM spent").fetchone()
            if spent >= SIZE_PICO:
                continue
            await asyncio.sleep(chance.random() * 0.004)
            used = (300 + 2 * chance.randrange(50, 201)) * 10**6
            books.execute("UPDATE spent SET pico = pico + ?", (used,))

    await asyncio.gather(*(call() for _ in range(AT_ONCE)))
    (spent,) = books.execute("SELECT pico FROM spent").fetchone()
    books.close()
    return spent


def _median(figures: Iterable[float]) -> float:
    ordered = sorted(figures)
    return ordered[len(ordered) // 2] if ordered else 0
