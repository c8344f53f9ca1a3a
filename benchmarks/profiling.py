"""Profiling: a worker under cProfile, and where a call's time goes, by room.

Calls of functions are dearer under a profile than without, so that it tells shares, not times.
"""

from __future__ import annotations

import cProfile
import pstats
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

PROGRAM = ("-m", "benchmarks.profiling")
STATS = "profile.stats"
ROWS = 25

Where = tuple[str, int, str]
"""A function: its file, line and name."""


def told(folder: Path) -> str:
    """The rooms and functions of a profiled worker's folder, by their own time."""
    stats = pstats.Stats(str(folder / STATS))
    known: Mapping[Where, tuple[int, int, float, float, object]] = vars(stats)["stats"]
    own_s = {where: each[2] for where, each in known.items()}
    whole_s = sum(own_s.values())
    rooms: dict[str, float] = {}
    for where, taken_s in own_s.items():
        rooms[_room(where)] = rooms.get(_room(where), 0) + taken_s
    lines = ["share  room"]
    lines += [f"{s / whole_s:5.1%}  {room}" for room, s in _most(rooms)]
    lines += ["", "share  function"]
    functions = {f"{_room(where)}: {where[2]}": taken_s for where, taken_s in own_s.items()}
    lines += [f"{s / whole_s:5.1%}  {name}" for name, s in _most(functions)]
    return "\n".join(lines)


def _most(times: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(times.items(), key=lambda each: -each[1])[:ROWS]


def _room(where: Where) -> str:
    path = where[0]
    if "/steelyard/" in path:
        return path.rpartition("/steelyard/")[2].removesuffix(".py")
    return Path(path).parent.name or "Python and its C modules"


def main() -> None:
    """Run a worker as it is run without us, and leave its profile in its studio."""
    folder = Path(sys.argv[sys.argv.index("--studio") + 1])
    profile = cProfile.Profile()
    try:
        profile.runcall(runpy.run_module, "steelyard.worker", run_name="__main__")
    finally:
        profile.dump_stats(folder / STATS)


if __name__ == "__main__":
    main()
