"""The journal, as people and machines are shown it."""

from __future__ import annotations

import json
import threading
import time

import pytest
from click.testing import CliRunner

from steelyard.cli.main import cli
from steelyard.metering.recovery import recover
from steelyard.metering.segments import read, segments
from steelyard.values import ids
from steelyard.values.clock import FixedClock
from steelyard.values.usage import Try
from tests.metering.journals import announced, open_writer, recorded

STUDIO = """
[studio]
name = "Orchard Model Studio"
operator = "orchard"
zone = "Asia/Shanghai"

[[earner]]
id = "orchard"
name = "Orchard"
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run ``steelyard journal`` on a studio of its own, in a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "steelyard.toml").write_text(STUDIO)

    def runner(*arguments, status=0):
        result = CliRunner().invoke(cli, ["--studio", str(tmp_path), "journal", *arguments])
        assert result.exit_code == status, result.output
        return result

    return runner


@pytest.fixture
def journal(tmp_path):
    """Two calls at the gateway, one that was killed, and two imported."""
    root = tmp_path / "journal"
    writer = open_writer(root)
    writer.announce(announced(1))
    writer.record(recorded(1))
    writer.record(recorded(2, customer="globex", model="glm-4.6", meters={"output_tokens": 1234}))
    writer.announce(announced(3))
    writer.close()
    recover(root, FixedClock())
    with open_writer(root, "import-1") as importer:
        importer.block([recorded(1_000_000, origin="imported"), recorded(2_000_000)])
    return root


def lines(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_cat_shows_a_call_a_line(run, journal):
    shown = run("cat").stdout.splitlines()
    first = ids.text(recorded(1).call_id)
    assert shown[0] == (
        f"2026-11-24 08:00:00  {first}  acme          qwen3-max               "
        f"completed    1 in, 7 out"
    )
    assert shown[1].endswith("  globex        glm-4.6                 completed    1,234 out")
    assert shown[2].endswith("  interrupted  -")
    assert shown[3].startswith("2026-11-24 08:00:01  ")
    assert len(shown) == 5


def test_cat_for_a_machine(run, journal):
    first = lines(run("cat", "--json"))[0]
    assert first["kind"] == "record"
    assert first["segment"] == "gateway-1/00000001.seg"
    assert first["offset"] > 0
    assert first["call_id"] == ids.text(recorded(1).call_id)
    assert first["at"] == "2026-11-24T00:00:00.000001+00:00"
    assert first["meters"] == {"input_tokens": 1, "output_tokens": 7, "requests": 1}
    assert first["sources"]["input_tokens"] == "upstream"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ([], 5),
        (["--all"], 9),
        (["--customer", "globex"], 1),
        (["--model", "qwen3-*"], 4),
        (["--model", "qwen3-*", "--limit", "3"], 3),
        (["--since", "2026-11-24T08:00:01"], 2),
        (["--since", "2026-11-24T00:00:02Z"], 1),
        (["--since", "2026-11-24", "--customer", "acme"], 4),
        (["--since", "2026-11-25"], 0),
        (["--all", "--customer", "globex"], 1),
    ],
)
def test_cat_shows_what_is_asked_for(run, journal, options, count):
    assert len(lines(run("cat", "--json", *options))) == count
    assert len(run("cat", *options).stdout.splitlines()) == count


def test_cat_shows_announcements_and_seals(run, journal):
    kinds = [each["kind"] for each in lines(run("cat", "--json", "--all"))]
    assert kinds == [
        *("announcement", "record", "record", "announcement", "record", "seal"),
        *("record", "record", "seal"),
    ]
    said = run("cat", "--all").stdout
    assert "announced    100 in, 50 out" in said
    assert "gateway-1/00000001.seg sealed by recovery: 3 records" in said
    assert "import-1/00000001.seg sealed by its writer: 2 records" in said


def test_cat_follows(run, tmp_path):
    root = tmp_path / "journal"

    def write() -> None:
        with open_writer(root) as writer:
            for number in range(3):
                time.sleep(0.1)
                writer.record(recorded(number))

    thread = threading.Thread(target=write)
    thread.start()
    shown = lines(run("cat", "--json", "--follow", "--limit", "3"))
    thread.join()
    assert [each["call_id"] for each in shown] == [
        ids.text(recorded(number).call_id) for number in range(3)
    ]


def test_cat_wants_a_time(run, journal):
    said = run("cat", "--since", "yesterday", status=2).stderr
    assert "'yesterday' is no date or time; write it like 2026-11-24" in said


def test_verify_accounts_for_every_byte(run, journal):
    said = run("verify").stdout
    assert "gateway-1" in said
    assert "sealed by recovery" in said
    total = sum(segment.path.stat().st_size for segment in segments(journal))
    assert f"The journal is whole. {total:,} bytes, all accounted for." in said
    found = json.loads(run("verify", "--json").stdout)
    assert found["whole"] is True
    assert found["segments"][0] == {
        "segment": "gateway-1/00000001.seg",
        "bytes": segments(journal)[0].path.stat().st_size,
        "frames": 5,
        "records": 3,
        "sealed": True,
        "recovered": True,
        "torn_bytes": 0,
    }


def test_a_flipped_bit_is_located(run, journal):
    path = segments(journal)[0].path
    _, _, (offset, _, _), *_ = read(path)
    data = bytearray(path.read_bytes())
    data[offset + 40] ^= 1
    path.write_bytes(data)
    reason = "the frame's content does not match its checksum"
    said = run("verify", status=1).stdout
    assert f"damaged {path} is damaged at byte {offset}: {reason}" in said
    assert "1 damage; what is before each can be read, and 1 other segments are whole." in said
    found = json.loads(run("verify", "--json", status=1).stdout)
    assert found["whole"] is False
    where = {"segment": "gateway-1/00000001.seg", "offset": offset, "reason": reason}
    assert found["damages"] == [where]
    for name in ("cat", "stats"):
        result = run(name, "--json", status=1)
        assert f"steelyard: {path} is damaged at byte {offset}" in result.stderr
    assert json.loads(run("stats", "--json", status=1).stdout)["damages"] == [where]
    assert len(lines(run("cat", "--json", status=1))) == 3


def test_stats_sum_up(run, journal):
    found = json.loads(run("stats", "--json").stdout)
    assert found["records"] == 5
    assert found["announcements"] == 2
    assert found["running"] == 0
    assert found["outcomes"] == {"completed": 4, "interrupted": 1}
    assert found["origins"] == {"live": 3, "recovered": 1, "imported": 1}
    assert found["customers"] == {"acme": 4, "globex": 1}
    assert found["meters"]["output_tokens"] == 3 * 7 + 1234
    assert found["bytes"] == sum(segment.path.stat().st_size for segment in segments(journal))
    said = run("stats").stdout
    assert "5 calls from 2026-11-24 08:00:00 to 2026-11-24 08:00:02, Asia/Shanghai" in said
    assert "2 segments, 2 of them sealed" in said


def test_an_empty_journal_says_so(run):
    for name in ("verify", "stats"):
        assert "The journal is empty" in run(name).stdout
    assert run("cat").stdout == ""
    assert json.loads(run("verify", "--json").stdout) == {
        "whole": True,
        "segments": [],
        "damages": [],
    }


def test_a_segment_being_written_is_open(run, tmp_path):
    with open_writer(tmp_path / "journal") as writer:
        writer.announce(announced(1))
        assert "open: being written, or waiting for recovery" in run("verify").stdout
        assert json.loads(run("stats", "--json").stdout)["running"] == 1


def test_attempts_and_copies_are_shown(run, tmp_path):
    tried = Try(1, "m", "slow", "failed", {"input_tokens": 7}, {}, "upstream_broken")
    of, made = recorded(1).call_id, {"output_tokens": 9}
    with open_writer(tmp_path / "journal") as writer:
        writer.record(recorded(1, tries=(tried,), attempts=2))
        writer.record(recorded(2, meters={}, produced=made, shadow_of=of))
    first, copy = lines(run("cat", "--json"))
    assert first["tries"][0]["deployment"] == "slow"
    assert first["tries"][0]["produced"] == {"input_tokens": 7}
    assert (first["shadow_of"], copy["shadow_of"]) == (None, ids.text(of))
    shown = run("cat").stdout.splitlines()
    assert "shadow" in shown[1]
    assert "9 out" in shown[1]
