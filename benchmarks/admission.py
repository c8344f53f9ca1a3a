"""Admission: what it costs a call that money and tokens a minute are limited, on each backend.

Two workers on one core, one with limits and one without, take turns under the same load.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import load, peers, profiling
from benchmarks.backends import BACKENDS
from benchmarks.load import Mock
from benchmarks.peers import Peer
from steelyard.covering import ALLOWANCES_VARIABLE

CONNECTIONS, ROUNDS, SECONDS = 32, 5, 3

LIMITS = """
[[budget]]
id = "money"
of = "customer"
amount = "1000000"
currency = "USD"
per = "month"

[[budget]]
id = "key"
of = "key"
amount = "500000"
currency = "USD"
per = "day"

[[limit]]
id = "tpm"
of = "key"
tokens_per_minute = 1_000_000_000
"""


def measure(*, quick: bool = False, seconds: int = SECONDS) -> dict[str, dict[str, float]]:
    """The ratio of calls a second with limits to those without, the median of the rounds."""
    rounds, seconds = (1, 1) if quick else (ROUNDS, seconds)
    on_over_off: dict[str, float] = {}
    trips: dict[str, float] = {}
    calls: dict[str, float] = {}
    for name in BACKENDS:
        with _both(name) as (off, on):
            ratios: list[float] = []
            per_s: list[float] = []
            for peer in (off, on):
                load.wrk(peer.plain, CONNECTIONS, 1)
            made, before = 0, _trips(on)
            for _ in range(rounds):
                without = load.wrk(off.plain, CONNECTIONS, seconds)
                limited = load.wrk(on.plain, CONNECTIONS, seconds)
                assert not limited.refused
                ratios.append(limited.per_s / without.per_s)
                per_s.append(limited.per_s)
                made += limited.calls
            calls[name] = median(per_s)
            on_over_off[name] = round(median(ratios), 3)
            # What an idle worker says while the other is measured is counted too.
            trips[name] = round((_trips(on) - before) * 1000 / made, 2)
    return {
        "on_over_off": on_over_off,
        "round_trips_per_1000_calls": trips,
        "calls_per_s": calls,
    }


def tell(found: dict[str, dict[str, float]]) -> str:
    """A line a figure."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def profile() -> str:
    """Where the time of limited calls goes in a worker."""
    with _folder() as folder, load.mock(0) as mock:
        with peers.steelyard(mock, folder, program=profiling.PROGRAM, settings=LIMITS) as own:
            load.wrk(own.plain, CONNECTIONS, 5)
        return profiling.told(folder)


@contextmanager
def _both(name: str) -> Generator[tuple[Peer, Peer]]:
    """A worker without limits, and one with them, kept at a backend."""
    with ExitStack() as running:
        folder = running.enter_context(_folder())
        mock: Mock = running.enter_context(load.mock(0))
        backend = running.enter_context(BACKENDS[name](folder))
        (folder / "off").mkdir()
        (folder / "on").mkdir()
        off = running.enter_context(peers.steelyard(mock, folder / "off"))
        os.environ[ALLOWANCES_VARIABLE] = backend.url
        try:
            on = running.enter_context(peers.steelyard(mock, folder / "on", settings=LIMITS))
        finally:
            del os.environ[ALLOWANCES_VARIABLE]
        yield off, on


def _trips(peer: Peer) -> int:
    """How often a worker has waited for its backend, as its metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{peer.port}/metrics") as page:
        lines = page.read().decode().splitlines()
    found = (line.split() for line in lines)
    name = "steelyard_allowances_round_trips_total"
    return sum(int(float(words[-1])) for words in found if words[0].startswith(name))


@contextmanager
def _folder() -> Generator[Path]:
    folder = tempfile.mkdtemp(prefix="steelyard-bench-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
