"""What every room's tests may ask for."""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from steelyard.catalogue.documents import Edition
from steelyard.rating.lines import LineSum
from steelyard.values import money

# A busy machine is slow at drawing examples too, which says nothing of them.
settings.register_profile("here", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("here")

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"


class BookedMonth(NamedTuple):
    """A month's documents and the sums of its lines."""

    edition: Edition
    sums: list[LineSum]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the engine take turns: one of them has all processors already."""
    for item in items:
        if item.path.name == "test_engine.py":
            item.add_marker(pytest.mark.xdist_group("engine"))


@pytest.fixture(scope="session")
def november() -> BookedMonth:
    """November 2026 at a small studio: ``tests/fixtures/november.toml`` and ``.tsv``."""
    folder = ROOT / "tests" / "fixtures"
    edition = msgspec.toml.decode((folder / "november.toml").read_bytes(), type=Edition)
    with (folder / "november.tsv").open(encoding="utf-8", newline="") as file:
        return BookedMonth(
            edition, [_line_sum(row) for row in csv.DictReader(file, dialect="excel-tab")]
        )


def _line_sum(row: dict[str, str]) -> LineSum:
    units, price_pico = int(row["units"]), money.price_per_unit(row["price"])
    counted = {
        "period": "2026-11",
        "units": units,
        "price_pico": price_pico,
        "amount_pico": units * price_pico,
        "calls": int(row["calls"]),
    }
    return msgspec.convert({**row, **counted}, LineSum)


@pytest.fixture(scope="session")
def tracked() -> list[str]:
    """The files of the checkout, as git lists them: paths from its root."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]
    assert "pyproject.toml" in names
    return names


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with ``tests/golden/NAME``; ``./dev golden`` writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("STEELYARD_GOLDEN") == "rewrite":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        assert path.is_file(), f"no tests/golden/{name} yet: ./dev golden writes it"
        assert text == path.read_text("utf-8"), f"tests/golden/{name}: ./dev golden rewrites it"

    return compare
