"""A day of five models' calls, imported and booked at once by two processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from steelyard.app import DATABASE_VARIABLE

TRACE = Path(__file__).parents[1] / "examples" / "traces" / "servegen_resampled_requests.csv.gz"
MODELS = {
    "m-large": "qwen3-max",
    "m-mid": "glm-5.1",
    "m-small": "deepseek-chat",
    "deepseek-r1": "deepseek-reasoner",
    "mm-image": "qwen3-vl-plus",
}
STUDIO = {
    "steelyard.toml": """
[studio]
name = "Bench"
operator = "house"
zone = "Asia/Shanghai"

[clerk]
poll_ms = 50

[[customer]]
id = "acme"
name = "Acme"

[[earner]]
id = "house"
name = "House"

[[earner]]
id = "lab"
name = "Lab"

[[earner]]
id = "grid"
name = "Grid"
""",
    "contracts/acme.toml": """
id = "acme"
customer = "acme"
title = "Acme"
currency = "CNY"
valid_from = 2026-01-01

[[price]]
model = "qwen3-max"
tier = [
  { up_to = 32_000, per_million = { input = "2.5", output = "10" } },
  { up_to = 128_000, per_million = { input = "4", output = "16" } },
  { per_million = { input = "7", output = "28" } },
]

[[price]]
model = "*"
per_million = { input = "3", output = "6" }
discount = "12%"
""",
    "shares/cny.toml": """
id = "costs"
currency = "CNY"
valid_from = 2026-01-01

[[cost]]
component = "model"
earner = "lab"
per_million = { input = "0.3", output = "0.7" }

[[cost]]
component = "compute"
earner = "grid"
per_million = { input = "0.9", output = "2.1" }
""",
}
UNSET = (DATABASE_VARIABLE, "PYTHONDONTWRITEBYTECODE")
"""What the processes are not told: their books are in the folder, their modules compiled once."""

WAIT_S = 600
"""How long booking may take before something is wrong."""


def measure(trace: Path = TRACE) -> dict[str, float]:
    """Import and book a trace; how fast, with how much memory, and how far from the floor.

    The floor is the same file read and summed by DuckDB, in one process.
    """
    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    try:
        for name, text in STUDIO.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        return _measure(folder, trace)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, trace: Path) -> dict[str, float]:
    with _start(folder, "clerk", "--json") as clerk, _killed_after(clerk, WAIT_S):
        assert _told(clerk)["ready"]
        began_s = time.perf_counter()
        models = [f"--by-model={theirs}={ours}" for theirs, ours in MODELS.items()]
        placed = ["--format=servegen", "--contract=acme", "--start=2026-11-02T00:00", *models]
        with _start(folder, "import", str(trace), *placed, "--json") as importing:
            assert importing.stdout is not None
            calls = json.load(importing.stdout)["calls"]
            import_used = _end(importing)
        import_s = time.perf_counter() - began_s
        booked = lines = 0
        while booked < calls:
            told = _told(clerk)
            booked, lines = booked + told["calls"], lines + told["lines"]
        total_s = time.perf_counter() - began_s
        clerk.terminate()
        clerk_used = _end(clerk)
    floor_s = _floor_s(trace, calls)
    return {
        "calls_count": calls,
        "lines_count": lines,
        "import_s": import_s,
        "total_s": total_s,
        "calls_per_s": calls / total_s,
        "lines_per_s": lines / total_s,
        "import_cpu_s": import_used.cpu_s,
        "clerk_cpu_s": clerk_used.cpu_s,
        "import_rss_mb_max": import_used.rss_mb_max,
        "clerk_rss_mb_max": clerk_used.rss_mb_max,
        "rss_mb_max": import_used.rss_mb_max + clerk_used.rss_mb_max,
        "floor_s": floor_s,
        "over_floor_ratio": total_s / floor_s,
    }


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "steelyard", "--studio", str(folder), *arguments]
    environment = {name: text for name, text in os.environ.items() if name not in UNSET}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@contextmanager
def _killed_after(process: subprocess.Popen[str], wait_s: int) -> Generator[None]:
    """See that a process ends with the block, and at the latest after ``wait_s``."""
    watchdog = threading.Timer(wait_s, process.kill)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        if process.returncode is None:
            process.kill()


def _told(process: subprocess.Popen[str]) -> dict[str, int]:
    """The next line that a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process has ended"
    return json.loads(line)


class _Used(NamedTuple):
    """What a process took of the machine."""

    rss_mb_max: float
    cpu_s: float


def _end(process: subprocess.Popen[str]) -> _Used:
    """Wait for the end of a process."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return _Used(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)


def _floor_s(trace: Path, calls: int) -> float:
    query = "SELECT count(*), sum(input_tokens), sum(output_tokens) FROM read_csv(?)"
    with duckdb.connect(config={"threads": 1}) as connection:
        began_s = time.perf_counter()
        found = connection.execute(query, [str(trace)]).fetchone()
        taken_s = time.perf_counter() - began_s
    assert found is not None
    assert found[0] == calls
    return taken_s
