"""Traces through the whole house: imported, booked, rated, closed, to the last digit."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.cli.main import cli

TRACES = Path(__file__).parents[2] / "examples" / "traces"
SMALL = Path(__file__).parents[1] / "data" / "traces"
SECONDS = [divmod(second, 60) for second in range(100)]
START = ("--start", "2026-11-02T00:00")

STUDIO = {
    "steelyard.toml": """
[studio]
name = "Orchard"
operator = "orchard"
zone = "Asia/Shanghai"

[[customer]]
id = "acme"
name = "Acme Robotics"

[[customer]]
id = "bee"
name = "Bee"

[[earner]]
id = "orchard"
name = "Orchard"

[[earner]]
id = "lab"
name = "The lab"

[[earner]]
id = "grid"
name = "The grid"
""",
    "contracts/azure.toml": """
id = "azure"
customer = "acme"
title = "Azure"
currency = "USD"
valid_from = 2026-01-01

[[price]]
model = "qwen3-max"
per_million = { input = "2", output = "10" }
""",
    "contracts/mooncake.toml": """
id = "mooncake"
customer = "acme"
title = "Mooncake"
currency = "USD"
valid_from = 2026-01-01

[[price]]
model = "qwen3-max"
per_million = { input = "3", cached_input = "0.30", output = "15" }
""",
    "contracts/servegen.toml": """
id = "servegen"
customer = "bee"
title = "ServeGen"
currency = "CNY"
valid_from = 2026-01-01

[[price]]
model = "deepseek-r1"
per_million = { input = "3", output = "6" }
""",
    "shares/usd.toml": """
id = "costs-usd"
currency = "USD"
valid_from = 2026-01-01

[[cost]]
component = "model"
earner = "lab"
per_million = { input = "0.7", cached_input = "0.07", output = "2.000001" }

[[cost]]
component = "compute"
earner = "grid"
per_unit = { requests = "0.000123" }
""",
    "shares/cny.toml": """
id = "costs-cny"
currency = "CNY"
valid_from = 2026-01-01

[[cost]]
component = "model"
earner = "lab"
per_million = { input = "1.1", output = "1.9" }
""",
}


class Studio:
    """A studio in a folder, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in STUDIO.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def run(self, *arguments: str, status: int = 0):
        found = CliRunner().invoke(cli, ["--studio", str(self.folder), *arguments])
        assert found.exit_code == status, found.output
        return found

    def take(self, file: Path, *options: str, status: int = 0):
        return json.loads(self.run("import", str(file), *options, "--json", status=status).stdout)

    def book(self):
        return json.loads(self.run("clerk", "--once", "--json").stdout)

    def close(self):
        return json.loads(self.run("close", "2026-11", "--early", "--json").stdout)


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.delenv("STEELYARD_DATABASE", raising=False)
    return Studio(tmp_path / "studio")


def azure(*more: str) -> tuple[str, ...]:
    return ("--format", "azure", "--contract", "azure", "--model", "qwen3-max", *START, *more)


def test_whole_traces_come_to_their_sums_to_the_last_digit(studio):
    taken = studio.take(TRACES / "AzureLLMInferenceTrace_conv.csv.gz", *azure())
    assert (taken["calls"], taken["rejected"]) == (19_366, 0)
    assert taken["meters"] == {
        "input_tokens": 22_361_870, "output_tokens": 4_088_665, "requests": 19_366,
    }  # fmt: skip
    taken = studio.take(
        TRACES / "mooncake_conversation_trace.jsonl.gz",
        *("--format", "mooncake", "--contract", "mooncake", "--model", "qwen3-max", *START),
    )
    assert (taken["calls"], taken["meters"]["output_tokens"]) == (12_031, 4_122_048)
    taken = studio.take(
        TRACES / "servegen_resampled_requests.csv.gz",
        *("--format", "servegen", "--contract", "servegen"),
        *("--by-model", "deepseek-r1=deepseek-r1", *START),
    )
    assert (taken["calls"], taken["left_out"], taken["rejected"]) == (60_008, 239_985, 0)

    booked = studio.book()
    assert (booked["calls"], booked["unrated"], booked["conflicts"]) == (91_405, 0, 0)
    closed = studio.close()
    exact = {each["contract"]: each["exact"] for each in closed["documents"] if each["contract"]}
    assert exact == {"azure": "85.61039", "mooncake": "350.1464793", "servegen": "776.991501"}
    assert {(each["kind"], each["currency"]): each["total"] for each in closed["sums"]} == {
        ("invoice", "USD"): "435.76",
        ("statement", "USD"): "435.76",
        ("invoice", "CNY"): "776.99",
        ("statement", "CNY"): "776.99",
    }
    assert studio.run("audit").exit_code == 0


def accounts(studio) -> dict[str, tuple[str, str]]:
    studio.book()
    return {
        each["number"]: (each["exact"], each["total"])
        for each in studio.close()["documents"]
    }  # fmt: skip


def test_importing_twice_or_half_and_then_the_whole_gives_the_same_books(tmp_path, monkeypatch):
    monkeypatch.delenv("STEELYARD_DATABASE", raising=False)
    whole = tmp_path / "a" / "trace.csv"
    whole.parent.mkdir()
    header, *rows = (SMALL / "azure.csv").read_bytes().splitlines(keepends=True)
    rows = [*rows, rows[-1], rows[-1], *rows[:2]]  # identical ones, and at last not in order
    whole.write_bytes(b"".join([header, *rows]))
    half = tmp_path / "b" / "other-name.csv"
    half.parent.mkdir()
    half.write_bytes(b"".join([header, *rows[:6]]).replace(b"\r\n", b"\n"))

    books = []
    for imports in ([whole], [whole, whole], [half, whole], [whole, half], [half, half, whole]):
        studio = Studio(tmp_path / f"studio-{len(books)}")
        for file in imports:
            studio.take(file, *azure())
        booked = studio.book()
        assert booked["calls"] == 9
        assert booked["conflicts"] == 0
        books.append(accounts(studio))
    assert all(each == books[0] for each in books)
    expected = 2 * (374 + 396 + 879 + 91 * 4 + 374 + 396) + 10 * (44 + 109 + 55 + 16 * 4 + 44 + 109)
    assert books[0]["INV-2026-11-acme-0001"][0] == f"0.00{expected}".rstrip("0")


def test_an_import_killed_in_the_middle_is_made_whole_by_the_next(studio, tmp_path):
    rows = 100_000
    file = tmp_path / "long.csv"
    times = (f"2023-11-16 18:{minute:02d}:{second:02d}" for minute, second in SECONDS)
    file.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        + "".join(f"{time}.{number:03d},2,1\n" for time in times for number in range(1000))
    )
    command = [sys.executable, "-m", "steelyard", "--studio", str(studio.folder), "import"]
    booked = []
    for size in (2 << 20, 8 << 20):
        before = set((studio.folder / "journal").glob("*"))
        with subprocess.Popen([*command, str(file), *azure()], stdout=subprocess.PIPE) as importing:
            while written(studio, before) < size and importing.poll() is None:
                time.sleep(0.001)
            importing.kill()
        shown = studio.book()
        assert (shown["conflicts"], shown["unrated"], shown["damages"]) == (0, 0, [])
        booked.append(shown["calls"])
    assert 0 < booked[0] <= sum(booked) <= rows
    studio.take(file, *azure())
    assert studio.book()["calls"] == rows - sum(booked)
    exact = {each["number"]: each["exact"] for each in studio.close()["documents"]}
    assert exact["INV-2026-11-acme-0001"] == "1.4"


def written(studio, before) -> int:
    """How much new writers have put into the journal, to a MiB. Unit: bytes."""
    folders = set((studio.folder / "journal").glob("*")) - before
    return sum(path.stat().st_size for each in folders for path in each.glob("*.seg"))


def test_bad_rows_are_set_aside_and_nothing_else_is_lost(studio, tmp_path):
    lines = (SMALL / "azure.csv").read_text().splitlines()
    lines[3:3] = ["2023-11-16 18:15:51.1,many,55", "", "2023-11-16 18:15:51.2"]
    file = tmp_path / "azure.csv.gz"
    file.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    said = studio.run("import", str(file), *azure())
    assert said.stdout.splitlines() == [
        "5 calls of acme under azure, 2026-11-02 00:00:00 to 2026-11-02 00:00:05",
        "  1,831 input_tokens",
        "    240 output_tokens",
        f"2 rows are set aside in {studio.folder}/imports/azure.csv.gz.rejected.jsonl",
        "  line 4, column 23: ContextTokens is 'many'; expected a whole number",
        "  line 6, column 22: ContextTokens is missing",
        "They are in the journal; the clerk books them (steelyard clerk --once).",
    ]
    kept = (studio.folder / "imports" / "azure.csv.gz.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == [
        {
            "line": 4,
            "column": 23,
            "reason": "ContextTokens is 'many'; expected a whole number",
            "text": "2023-11-16 18:15:51.1,many,55",
        },
        {
            "line": 6,
            "column": 22,
            "reason": "ContextTokens is missing",
            "text": "2023-11-16 18:15:51.2",
        },
    ]
    again = studio.take(file, *azure())
    assert again["rejected_file"].endswith("imports/azure.csv.gz.2.rejected.jsonl")
    booked = studio.book()
    assert (booked["calls"], booked["duplicates"]) == (5, 5)


def test_our_own_table_needs_no_start_and_no_model(studio, tmp_path):
    file = tmp_path / "own.csv"
    file.write_text(
        "timestamp,model,input_tokens,output_tokens\n"
        "2026-11-02T09:00:00+08:00,qwen3-max,100,20\n"
        "2026-11-02T09:00:00+08:00,glm-4.6,100,20\n"
    )
    taken = studio.take(file, "--format", "csv", "--contract", "azure")
    assert (taken["calls"], taken["rejected"]) == (1, 1)
    assert taken["first"] == "2026-11-02T01:00:00+00:00"
    kept = json.loads(Path(taken["rejected_file"]).read_text())
    assert kept["reason"] == "contract azure sells no glm-4.6; map it with --by-model"


def test_a_damaged_file_is_imported_up_to_the_damage(studio, tmp_path):
    file = tmp_path / "azure.csv.gz"
    whole = (TRACES / "AzureLLMInferenceTrace_conv.csv.gz").read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    found = studio.run("import", str(file), *azure(), "--json", status=1)
    assert "azure.csv.gz is damaged" in found.stderr
    assert 0 < json.loads(found.stdout)["calls"] < 19_366


REFUSED = [
    # file, options, what is said, exit status
    ("azure.csv", azure("--customer", "bee"), "contract azure is acme's, not bee's", 1),
    ("azure.csv", azure("--contract", "none"), "there is no contract none; there are azure,", 1),
    ("azure.csv", azure("--deployment", "none"), "there is no deployment none", 1),
    ("azure.csv", azure("--model", "glm-4.6"), "contract azure sells no glm-4.6", 1),
    ("azure.csv", azure("--start", "noon"), "write it like 2026-11-02T09:00", 2),
    ("azure.csv", azure("--start", "2025-12-31T23:59:59"), "before contract azure was in force", 1),
    ("azure.csv", azure("--by-model", "a"), "write it like m-large=qwen3-max", 2),
    ("azure.csv", azure("--format", "servegen"), "this format begins with t_s,model", 1),
    ("azure.csv", azure("--format", "mooncake"), "nothing was imported", 1),
    (
        "azure.csv",
        ("--format", "azure", "--contract", "azure", *START),
        "azure traces name no model; say which it was with --model",
        1,
    ),
    (
        "mooncake.jsonl",
        ("--format", "mooncake", "--contract", "azure", "--model", "qwen3-max"),
        "times in mooncake traces are relative; say when the trace began",
        1,
    ),
]


@pytest.mark.parametrize(("file", "options", "said", "status"), REFUSED)
def test_what_can_not_be_placed_is_refused_with_what_to_do(studio, file, options, said, status):
    found = studio.run("import", str(SMALL / file), *options, status=status)
    assert said in found.stderr
    assert studio.book()["calls"] == 0
