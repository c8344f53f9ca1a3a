"""The books through the commands: import, clerk, audit."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from steelyard import app
from steelyard.cli.main import cli
from steelyard.store.engines import writing
from steelyard.values import ids
from tests.clerk.desk import Sum, calls, journal, sum_of

TRACE = Path(__file__).parents[2] / "examples" / "traces" / "AzureLLMInferenceTrace_conv.csv.gz"
ROWS = 600


def steelyard(root: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["--studio", str(root), *args])


def done(root: Path, *args: str) -> dict:
    result = steelyard(root, *args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    """A studio without traffic, whose clerk books small batches; and traces, a half and a whole."""
    root = tmp_path_factory.mktemp("market")
    assert steelyard(root, "init", "--example", "market").exit_code == 0
    with (root / "steelyard.toml").open("a") as file:
        file.write("\n[clerk]\nbatch_calls_max = 100\npoll_ms = 10\n")
    with gzip.open(TRACE, "rt", newline="") as file:
        lines = list(islice(file, 1 + ROWS))
    (root / "whole.csv").write_text("".join(lines))
    (root / "half.csv").write_text("".join(lines[: 1 + ROWS // 2]))
    return root


def studio(market: Path, root: Path) -> Path:
    shutil.copytree(market, root)
    return root


def take(root: Path, trace: str) -> dict:
    placement = "--contract acme-list --model qwen3-max --start 2026-10-31T23:30".split()
    return done(root, "import", str(root / trace), "--format", "azure", *placement)


def booked(root: Path) -> Sum:
    engine = app.open_database(app.load_studio(root))
    found = sum_of(engine, root / "lines")
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("steps", "again"),
    [
        (["whole.csv", "clerk", "whole.csv", "clerk"], ROWS),
        (["whole.csv", "whole.csv", "clerk"], ROWS),
        (["half.csv", "clerk", "whole.csv", "clerk"], ROWS // 2),
        (["half.csv", "whole.csv", "half.csv", "whole.csv", "clerk"], 2 * ROWS),
    ],
)
def test_importing_again_adds_nothing(market, tmp_path, steps, again):
    once, often = studio(market, tmp_path / "once"), studio(market, tmp_path / "often")
    take(once, "whole.csv")
    done(once, "clerk", "--once")
    duplicates = 0
    for step in steps:
        if step == "clerk":
            outcome = done(often, "clerk", "--once")
            assert outcome["conflicts"] == outcome["unrated"] == 0
            duplicates += outcome["duplicates"]
        else:
            take(often, step)
    assert duplicates == again
    assert booked(often) == booked(once)
    assert booked(once).size > ROWS
    assert done(often, "audit")["calls"] == ROWS


@pytest.fixture
def sold(market, tmp_path) -> Path:
    root = studio(market, tmp_path / "sold")
    take(root, "half.csv")
    assert "booked 300 calls in 1 batch: 3,600 lines" in steelyard(root, "clerk", "--once").output
    take(root, "whole.csv")
    again = steelyard(root, "clerk", "--once").output
    assert "booked 300 calls in 1 batch: 3,600 lines; 300 were booked before" in again
    assert steelyard(root, "close", "2026-10", "--early").exit_code == 0
    return root


def test_audit_says_what_it_proved(sold):
    assert steelyard(sold, "clerk", "--once").output == "nothing to book\n"
    result = steelyard(sold, "audit")
    assert result.exit_code == 0, result.output
    assert "The books are whole." in result.output
    found = done(sold, "audit")
    assert found["whole"]
    money = found["money"]["CNY"]
    assert money["charged_pico"] == money["cost_pico"] + money["margin_pico"] > 0
    assert money["invoiced_pico"] == money["stated_pico"] > 0


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def alter_a_row(root: Path) -> None:
    engine = app.open_database(app.load_studio(root))
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "UPDATE transfers SET amount_pico = '7' WHERE batch = 2 AND sequence = 1"
        )
    engine.dispose()


@pytest.mark.parametrize(
    ("alter", "place"),
    [
        (lambda root: flip(min((root / "journal").rglob("*.seg"))), "journal import-"),
        (lambda root: flip(root / "lines" / "00000002.parquet"), "lines/00000002.parquet, byte "),
        (alter_a_row, "transfers, batch 2, sequence 1"),
    ],
)
def test_audit_says_where_the_first_difference_is(sold, alter, place):
    alter(sold)
    result = steelyard(sold, "audit")
    assert result.exit_code == 1
    assert f"The books are not whole.\n{place}" in result.output
    found = steelyard(sold, "audit", "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["difference"]["place"].startswith(place)


def test_a_damaged_segment_is_reported_by_the_clerk(market, tmp_path):
    root = studio(market, tmp_path / "damaged")
    take(root, "whole.csv")
    (segment,) = (root / "journal").rglob("*.seg")
    flip(segment)
    result = steelyard(root, "clerk", "--once")
    assert result.exit_code == 1
    assert f"{segment} is damaged at byte " in result.output


def test_what_is_set_aside_is_listed(market, tmp_path):
    root = studio(market, tmp_path / "aside")
    assert steelyard(root, "clerk", "--set-aside").output == "Nothing is set aside.\n"
    unsold = calls(1)[0]
    journal(root, "live-1", [unsold])
    assert "1 have no price (see --set-aside)" in steelyard(root, "clerk", "--once").output
    listed = steelyard(root, "clerk", "--set-aside").output
    assert ids.text(unsold.call_id) in listed
    found = done(root, "clerk", "--set-aside")
    assert (found["batch"], found["reason"]) == (1, "edition")
    assert found["record"]["meters"] == unsold.meters


def started(root: Path, *args: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "steelyard", "--studio", str(root), "clerk", *args]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("end", ["SIGTERM", "closed"])
def test_a_supervised_clerk_books_what_comes(market, tmp_path, end):
    root = studio(market, tmp_path / "live")
    with started(root, "--supervised") as clerk:
        assert clerk.stdin
        assert clerk.stdout
        assert json.loads(clerk.stdout.readline()) == {"ready": True}
        second = steelyard(root, "clerk", "--once")
        assert (second.exit_code, "another clerk" in second.output) == (1, True)
        take(root, "half.csv")
        # Closing waits for the clerk that runs, so that what was imported is in the books.
        assert steelyard(root, "close", "2026-10", "--early").exit_code == 0
        assert done(root, "audit")["calls"] == ROWS // 2
        if end == "SIGTERM":
            clerk.send_signal(signal.SIGTERM)
        else:
            clerk.stdin.close()
        begun = time.monotonic()
        assert clerk.wait(30) == 0
        assert time.monotonic() - begun < 10
        assert clerk.stdout.read() == b""
