"""As many open streams as one worker is asked to hold: none lost, none reordered, each weighed."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from benchmarks import load, peers
from benchmarks.load import MissingError

STREAMS = 10_000
PACE_US = 50_000
PER_S = 1_000_000 // PACE_US
SECONDS = 60
OPENING_S = 30
"""What opening them may take, in which the first ones run already."""

FIRST_S = 5
"""What the last one's first token may take, so that all are open for long enough."""

SLACK = 4
"""How many times longer than its pace a run may take before it counts as broken."""

FILES_SPARE = 200
"""Files that a worker has open beside its connections, and some."""

SETTINGS = "concurrency_max = 20000\ntotal_s = 3600"


class Read(msgspec.Struct, frozen=True):
    """What the reader saw.

    Unit: ``seconds`` from the first connection to the last byte; ``together`` of them all streams
    were open.
    """

    streams: int
    whole: int
    broken: int
    refused: int
    wrong: int
    events: int
    seconds: float
    together: float


def measure(*, quick: bool = False, seconds: int = SECONDS) -> dict[str, float]:
    """Hold streams for a minute, a token each 50 ms or as fast as the cores allow.

    A stream takes two connections. Where the machine allows the worker fewer files than that, the
    last of them are answered by the echo, inside the worker. Raises: MissingError.
    """
    streams, seconds = (500, 3) if quick else (STREAMS, seconds)
    tokens = (seconds + OPENING_S) * PER_S + 1
    mocked = min(streams, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - FILES_SPARE) // 2)
    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    try:
        with (
            load.mock(PACE_US, tokens + 2, seconds + FIRST_S) as mock,
            peers.steelyard(mock, folder, settings=SETTINGS) as own,
        ):
            before_mb = load.rss_mb(own.pid)
            numbers = (own.port, streams, tokens, (seconds + OPENING_S) * SLACK)
            reader = [str(load.compiled("reader")), *map(str, numbers), own.paced.key]
            reader += [own.paced.model, str(streams - mocked), peers.ECHO]
            reader.append(str((seconds + FIRST_S) * PER_S))
            read, open_mb = _read(reader, own.pid)
        weighed, weighed_tokens = _weighed(folder)
    finally:
        shutil.rmtree(folder)
    return {
        "streams_count": read.streams,
        "whole_count": read.whole,
        "lost_count": read.broken + read.refused,
        "reordered_count": read.wrong,
        "weighed_count": weighed,
        "tokens_count": read.events,
        "weighed_tokens_count": weighed_tokens,
        "tokens_per_s": read.events / read.seconds,
        "tokens_paced_per_s": streams * PER_S,
        "total_s": read.seconds,
        "together_s": read.together,
        "echoed_count": streams - mocked,
        "worker_rss_mb_max": open_mb,
        "stream_memory_kb": (open_mb - before_mb) * 1024 / streams,
    }


def _read(reader: list[str], pid: int) -> tuple[Read, float]:
    """Read all streams; and the most memory that the worker had meanwhile."""
    command = [load.tool("taskset", "util-linux"), "-c", load.LOAD_CORE, *reader]
    most_mb = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while True:
            try:
                told, _ = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                most_mb = max(most_mb, load.rss_mb(pid))
    if process.returncode:
        msg = "the reader could not connect"
        raise MissingError(msg)
    return msgspec.json.decode(told.splitlines()[-1], type=Read), max(most_mb, load.rss_mb(pid))


def _weighed(folder: Path) -> tuple[int, int]:
    """The records of streams that were answered whole, and their tokens."""
    whole = [
        record.meters.get("output_tokens", 0)
        for record in peers.records(folder)
        if record.outcome == "completed" and record.streamed
    ]
    return len(whole), sum(whole)
