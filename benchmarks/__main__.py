"""``python -m benchmarks NAME [--json]``: run one benchmark."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping

BENCHMARKS = {"import": "benchmarks.importing"}
"""Each benchmark's module, whose ``measure()`` returns numbers by keys that end in their unit."""


def main() -> None:
    """Run what was named, and print it."""
    parser = argparse.ArgumentParser(prog="./dev bench", allow_abbrev=False)
    parser.add_argument("name", choices=list(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print an object for a machine")
    given = parser.parse_args()
    found = importlib.import_module(BENCHMARKS[given.name]).measure()
    print(json.dumps(found) if given.json else table(found))


def table(found: Mapping[str, float]) -> str:
    """The numbers, one a row."""
    written = {
        key: f"{number:,.2f}" if number < 100 else f"{number:,.0f}" for key, number in found.items()
    }
    width, digits = max(map(len, written)), max(map(len, written.values()))
    return "\n".join(f"{key:<{width}}  {written[key]:>{digits}}" for key in written)


if __name__ == "__main__":
    main()
