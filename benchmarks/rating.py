"""Ten million calls under fifty contracts, from a file of usage to files of charge lines.

The calls are those of ServeGen's resampled day, over and over, a day later each time: its models,
its clients with their skew, its lengths. A client is a contract; contracts are of nine kinds.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq

from steelyard import studio
from steelyard.clerk import files
from steelyard.values.meters import METERS

ROOT = Path(__file__).parents[1]
TRACE = ROOT / "examples" / "traces" / "servegen_resampled_requests.csv.gz"
CALLS, QUICK_CALLS, KIND_CALLS = 10_000_000, 300_000, 500_000
CONTRACTS = 50
DAY_US = 86_400_000_000
START_US = 1_793_462_400_000_000
"""2026-10-31 at midnight in Shanghai: so that a month ends in it."""

SEED = 20_261_124
ROW_GROUP_CALLS = 1 << 20

MODELS = ("m-large", "m-mid", "m-small", "mm-image", "deepseek-r1")

FLAT = """per_million = { input = "2", cached_input = "0.2", output = "8" }
per_unit = { images = "0.002" }"""
TIERS = """tier = [
  { up_to = 1_000, per_million = { input = "2", cached_input = "0.2", output = "8" } },
  { up_to = 8_000, per_million = { input = "3", cached_input = "0.3", output = "12" } },
  { per_million = { input = "4", cached_input = "0.4", output = "16" } },
]"""
USED = """tier = [
  { up_to = 100_000_000, per_million = { input = "4", cached_input = "0.4", output = "16" } },
  { up_to = 1_000_000_000, per_million = { input = "3", cached_input = "0.3", output = "12" } },
  { per_million = { input = "2", cached_input = "0.2", output = "8" } },
]"""
PEAK = 'calendar = { factor = "2", days = "workdays CN", hours = ["09:00-12:00", "14:00-18:00"] }'
NIGHT = 'calendar = [{ discount = "50%", hours = ["22:00-06:00"], by = "end" }]'
GRANT = """
[[grant]]
id = "welcome"
model = "*"
tokens = 50_000_000
from = 2026-01-01
every = "month"
"""

KINDS = {
    "flat": FLAT,
    "discounted": FLAT + '\ndiscount = "12.5%"',
    "by_prompt": TIERS,
    "progressive": TIERS + '\ntiers = "progressive"',
    "by_hour": FLAT + "\n" + PEAK,
    "by_night_and_prompt": TIERS + "\n" + NIGHT,
    "graduated": USED + '\ntiers = "graduated"',
    "volume": USED + '\ntiers = "volume"',
    "granted": FLAT + GRANT,
    "blocks": FLAT.replace("\n", '\nblock = 100\nper_block = { requests = "0.05" }\n'),
}
"""What the contracts say of their prices; the first fifty of these in turn are the contracts."""


def measure(*, quick: bool = False) -> dict[str, float]:
    """Rate all calls, then some of each kind of contract by itself."""
    folder = Path(tempfile.mkdtemp(prefix="steelyard-bench-"))
    try:
        count = QUICK_CALLS if quick else CALLS
        write_studio(folder)
        write_usage(folder / "usage.parquet", count, range(CONTRACTS))
        ran = _run(folder / "usage.parquet", folder)
        assert ran["calls"] == count, "each call is read"
        assert ran["unrated"] == 0, "each call has a price"
        floor_s = _floor_s(folder / "usage.parquet", count)
        found = {
            "calls": count,
            "lines_count": ran["lines"],
            "seconds": ran["seconds"],
            "calls_per_s": count / ran["seconds"],
            "floor_s": floor_s,
            "over_floor": ran["seconds"] / floor_s,
            "rss_mb_max": ran["rss_mb_max"],
            "lines_mb": ran["bytes"] / 1e6,
        }
        some = count if quick else KIND_CALLS
        for place, kind in enumerate(KINDS):
            path = folder / f"{kind}.parquet"
            write_usage(path, some, range(place, CONTRACTS, len(KINDS)))
            found[f"{kind}_calls_per_s"] = some / _run(path, folder)["seconds"]
        return found
    finally:
        shutil.rmtree(folder)


def write_studio(folder: Path) -> None:
    """Write the documents of a studio with all contracts."""
    (folder / "contracts").mkdir()
    names = [f"c-{number:02d}" for number in range(CONTRACTS)]
    parties = "".join(f'\n[[customer]]\nid = "{name}"\n' for name in names)
    models = "".join(
        f'\n[[model]]\nid = "{name}"\nfamily = "Bench"\ndeveloper = "Bench"\nlicence = "MIT"\n'
        'source = "https://example.org"\nchecked = 2026-11-24\n'
        for name in MODELS
        if name != "deepseek-r1"
    )
    head = '[studio]\nname = "Bench"\noperator = "house"\nzone = "Asia/Shanghai"\n'
    earner = '\n[[earner]]\nid = "house"\n'
    (folder / "steelyard.toml").write_text(head + parties + earner + models, "utf-8")
    for number, name in enumerate(names):
        prices = list(KINDS.values())[number % len(KINDS)]
        text = f'id = "{name}"\ncustomer = "{name}"\ncurrency = "CNY"\nvalid_from = 2026-01-01\n'
        text += f'\n[[price]]\nmodel = "*"\n{prices}\n'
        (folder / "contracts" / f"{name}.toml").write_text(text, "utf-8")


def write_usage(path: Path, count: int, contracts: range) -> None:
    """Write so many calls; the trace's clients are dealt out to contracts."""
    trace = pv.read_csv(TRACE)
    random = np.random.default_rng(SEED)
    numbers = {
        name: trace.column(name).to_numpy().astype(np.int64)
        for name in ("client", "input_tokens", "output_tokens", "reasoning_tokens", "image_count")
    }
    offset_us = (trace.column("t_s").to_numpy() * 1e6).astype(np.int64)
    model = np.array([MODELS.index(str(each)) for each in trace.column("model").to_pylist()])
    names = [f"c-{number:02d}" for number in range(CONTRACTS)]
    chosen = np.array(contracts, dtype=np.int64)
    with pq.ParquetWriter(path, _schema(), compression="zstd", compression_level=1) as writer:
        for first in range(0, count, ROW_GROUP_CALLS):
            call = np.arange(first, min(first + ROW_GROUP_CALLS, count))
            row, day = call % trace.num_rows, call // trace.num_rows
            at_us = START_US + day * DAY_US + offset_us[row]
            tokens = numbers["input_tokens"][row]
            cached = tokens * random.integers(0, 80, len(call)) // 100
            columns: dict[str, object] = {
                "call_id": _ids(at_us, random),
                "at_us": at_us,
                "contract": _words(chosen[numbers["client"][row] % len(chosen)], names),
                "model": _words(model[row], MODELS),
                "duration_us": random.integers(10**5, 6 * 10**7, len(call)),
                "input_tokens": tokens - cached,
                "cached_input_tokens": cached,
                "output_tokens": (numbers["output_tokens"] - numbers["reasoning_tokens"])[row],
                "reasoning_tokens": numbers["reasoning_tokens"][row],
                "images": numbers["image_count"][row],
                "requests": np.ones(len(call), dtype=np.int64),
            }
            writer.write_table(pa.table(columns, schema=_schema()))


def _schema() -> pa.Schema:
    word = pa.dictionary(pa.int32(), pa.string())
    fields = [("call_id", pa.binary(16)), ("at_us", pa.int64())]
    fields += [("contract", word), ("model", word), ("duration_us", pa.int64())]
    used = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
    fields += [(name, pa.int64()) for name in (*used, "images", "requests") if name in METERS]
    return pa.schema(fields)


def _words(code: npt.NDArray[np.int64], words: Sequence[str]) -> object:
    indices = cast("Any", pa.array(code.astype(np.int32)))
    return cast("object", pa.DictionaryArray.from_arrays(indices, pa.array(words)))


def _ids(at_us: npt.NDArray[np.int64], random: np.random.Generator) -> object:
    """UUIDv7: the time in ms, then chance."""
    ids = random.integers(0, 256, (len(at_us), 16), dtype=np.uint8)
    ids[:, :6] = (at_us // 1000).astype(">i8").view(np.uint8).reshape(-1, 8)[:, 2:]
    ids[:, 6] = 0x70 | ids[:, 6] & 0x0F
    ids[:, 8] = 0x80 | ids[:, 8] & 0x3F
    return pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids.tobytes())])


class Ran(msgspec.Struct, frozen=True):
    """What the process that rated says of itself. Unit: MB is 2**20 bytes."""

    calls: int
    lines: int
    unrated: int
    bytes: int
    seconds: float
    rss_mb_max: float


def _run(usage: Path, folder: Path) -> dict[str, float]:
    """Rate a file in a process of its own, so that its memory is its own too."""
    lines = folder / "lines"
    command = [sys.executable, "-m", "benchmarks.rating", str(usage), str(lines), str(folder)]
    told = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
    shutil.rmtree(lines)
    return msgspec.to_builtins(msgspec.json.decode(told, type=Ran))


def _floor_s(usage: Path, count: int) -> float:
    query = """SELECT count(*), sum(input_tokens * 2000000::HUGEINT + cached_input_tokens * 200000
        + (output_tokens + reasoning_tokens) * 8000000) FROM read_parquet(?)"""
    with duckdb.connect(config={"threads": 2}) as connection:
        began_s = time.perf_counter()
        found = connection.execute(query, [str(usage)]).fetchone()
        taken_s = time.perf_counter() - began_s
    assert found is not None
    assert found[0] == count
    return taken_s


def main() -> None:
    """Rate a file under a studio, and tell how it went."""
    import resource  # noqa: PLC0415 - not there on every system; only the run itself asks

    usage, lines, folder = map(Path, sys.argv[1:4])
    edition = studio.load(folder, env=None).edition
    began_s = time.perf_counter()
    found = files.rate(usage, lines, edition)
    seconds = time.perf_counter() - began_s
    rss_mb_max = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(each.size for each in found.files)
    ran = Ran(found.calls, found.lines, found.unrated, size, seconds, rss_mb_max)
    print(msgspec.json.encode(ran).decode())


if __name__ == "__main__":
    main()
