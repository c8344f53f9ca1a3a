"""The gateway beside others: one core each, one mock upstream, one load, one run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import steelyard
from benchmarks import load, peers, profiling
from benchmarks.load import MissingError, Mock, Way
from benchmarks.peers import Peer

PACE_US = 2000
CONNECTIONS, STREAMS = 32, 256
ROUNDS, SECONDS = 3, 3
SLOW = ("litellm", "portkey")
"""Peers so far from us that their figures are taken once, and given more time."""

OWN, DIRECT = "steelyard", "direct"


class Figures(NamedTuple):
    """One gateway's. Unit: ``*_ms`` milliseconds at one connection, ``*_mb`` MiB.

    ``core_us`` is how long a plain call has the core, whoever else wants it. Unit: µs.
    """

    calls_per_s: float
    core_us: float
    streams_per_s: float
    paced_per_s: float
    p50_ms: float
    p99_ms: float
    rss_mb: float


Round = Mapping[str, Figures]
"""The figures of all that were measured in one round, by name."""


def measure(*, quick: bool = False, seconds: int = SECONDS) -> dict[str, float | str]:
    """Everyone's figures and our ratios to them, each the median of the rounds.

    The others take turns with us in each round, so that a busy moment of the machine is everyone's.
    """
    rounds, seconds = (1, 1) if quick else (ROUNDS, seconds)
    done: list[Round] = []
    missing: dict[str, str] = {}
    with ExitStack() as running:
        folder = Path(running.enter_context(_folder()))
        mock = running.enter_context(load.mock(PACE_US))
        here = {DIRECT: _direct(mock)}
        for name, start in peers.PEERS.items():
            own = folder / name
            own.mkdir()
            try:
                here[name] = running.enter_context(start(mock, own))
            except MissingError as exc:
                missing[f"{name}_missing"] = str(exc)
        slow = {name: _once(peer, 2 * seconds) for name, peer in here.items() if name in SLOW}
        for _ in range(rounds):
            quick_ones = {name: peer for name, peer in here.items() if name not in SLOW}
            done.append({name: _once(peer, seconds) for name, peer in quick_ones.items()} | slow)
        recorded = sum(1 for _ in peers.records(folder / OWN))
    found: dict[str, float | str] = {**_of_everyone(done), **_ratios(done), **missing}
    found["build"] = steelyard.build()
    return {**found, "recorded_count": recorded, "load_ratio": os.getloadavg()[0] / load.CORES}


def tell(found: Mapping[str, float | str]) -> str:
    """A table, a gateway a row; then what we are judged by."""
    rows = [("", *Figures._fields)]
    names = [key.removesuffix("_rss_mb") for key in found if key.endswith("_rss_mb")]
    for name in names:
        if f"{name}_calls_per_s" in found:
            told = (found[f"{name}_{field}"] for field in Figures._fields)
            rows.append((name, *map(_digits, told)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    shown = {key: value for key, value in found.items() if not key.startswith(tuple(names))}
    shown["worker_rss_mb"] = found["worker_rss_mb"]
    return "\n".join([*lines, "", *(f"{key:24}{_digits(value)}" for key, value in shown.items())])


def profile() -> str:
    """Where the time of plain calls goes in a worker, by room and function."""
    with _folder() as name, load.mock(PACE_US) as mock:
        folder = Path(name)
        with peers.steelyard(mock, folder, program=profiling.PROGRAM) as own:
            load.wrk(own.plain, CONNECTIONS, 5)
        return profiling.told(folder)


def _once(peer: Peer, seconds: float) -> Figures:
    load.wrk(peer.plain, CONNECTIONS, 1)
    before_us = load.core_us(peer.pid) if peer.pid else 0
    calls = load.wrk(peer.plain, CONNECTIONS, seconds)
    taken_us = load.core_us(peer.pid) - before_us if peer.pid else 0
    streams = load.wrk(peer.plain, CONNECTIONS, seconds, streamed=True)
    paced = load.wrk(peer.paced, STREAMS, seconds, streamed=True)
    alone = load.wrk(peer.plain, 1, seconds)
    return Figures(
        calls_per_s=calls.per_s,
        core_us=taken_us / max(1, calls.calls),
        streams_per_s=streams.per_s,
        paced_per_s=paced.per_s,
        p50_ms=alone.p50_us / 1000,
        p99_ms=alone.p99_us / 1000,
        rss_mb=load.rss_mb(peer.pid) if peer.pid else 0,
    )


def _of_everyone(done: list[Round]) -> dict[str, float]:
    return {
        f"{name}_{field}": median(getattr(each[name], field) for each in done)
        for name in done[0]
        for field in Figures._fields
    }


def _ratios(done: list[Round]) -> dict[str, float]:
    found = {"worker_rss_mb": median(each[OWN].rss_mb for each in done)}
    for key in ("p50_ms", "p99_ms"):
        added = (getattr(each[OWN], key) - getattr(each[DIRECT], key) for each in done)
        found[f"added_{key}"] = median(added)
    for name in done[0]:
        for key, field in (("calls", "calls_per_s"), ("streams", "paced_per_s")):
            if name not in {OWN, DIRECT} and getattr(done[0][name], field):
                ratios = (getattr(each[OWN], field) / getattr(each[name], field) for each in done)
                found[f"over_{name}_{key}"] = median(ratios)
    return found


def _digits(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.3f}" if value < 10 else f"{value:,.0f}"


def _direct(mock: Mock) -> Peer:
    plain, paced = (Way(f"http://127.0.0.1:{port}{peers.PATH}") for port in mock)
    return Peer(0, mock.plain, plain, paced)


@contextmanager
def _folder() -> Generator[str]:
    folder = tempfile.mkdtemp(prefix="steelyard-bench-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
