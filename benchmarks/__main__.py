"""``python -m benchmarks NAME [--json] [--quick] [--seconds N] [--profile]``: run one benchmark."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping

BENCHMARKS = {
    "import": "benchmarks.importing",
    "gateway": "benchmarks.gateway",
    "streams": "benchmarks.streams",
    "affinity": "benchmarks.affinity",
    "rating": "benchmarks.rating",
    "oracle": "benchmarks.oracle",
    "overspend": "benchmarks.overspend",
    "admission": "benchmarks.admission",
    "revoking": "benchmarks.revoking",
}
"""Each benchmark's module: ``measure()`` gives figures by keys that end in their unit.

A module with a ``tell()`` prints them its own way.
"""


def main() -> None:
    """Run what was named, and print it."""
    parser = argparse.ArgumentParser(prog="./dev bench", allow_abbrev=False)
    parser.add_argument("name", choices=list(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print an object for a machine")
    parser.add_argument("--quick", action="store_true", help="shorter, and less exact")
    parser.add_argument("--profile", action="store_true", help="tell where a call's time goes")
    parser.add_argument("--seconds", type=int, help="how long to measure, where that is a choice")
    given = parser.parse_args()
    module = importlib.import_module(BENCHMARKS[given.name])
    if given.profile:
        print(module.profile())
        return
    chosen = {"quick": given.quick or None, "seconds": given.seconds}
    found = module.measure(**{name: value for name, value in chosen.items() if value is not None})
    print(json.dumps(found) if given.json else getattr(module, "tell", table)(found))


def table(found: Mapping[str, float]) -> str:
    """The numbers, one a row."""
    written = {
        key: f"{number:,.2f}" if number < 100 else f"{number:,.0f}" for key, number in found.items()
    }
    width, digits = max(map(len, written)), max(map(len, written.values()))
    return "\n".join(f"{key:<{width}}  {written[key]:>{digits}}" for key in written)


if __name__ == "__main__":
    main()
