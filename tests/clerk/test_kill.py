from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from steelyard.clerk.audit import audit
from steelyard.store.archive import open_archive
from tests.clerk.desk import Desk, calls, journal

KILLS = 20
ROOT = Path(__file__).parents[2]


def test_a_clerk_that_is_killed_twenty_times_books_the_same(tmp_path):
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    for number in range(4):
        parts = [calls(150, seed=100 * number + part) for part in range(20)]
        journal(killed, f"live-{number}", *parts, calls(50, seed=number), blocks=number > 0)
    with Desk(killed):
        pass
    command = [sys.executable, "-m", "tests.clerk.killing", str(killed), str(KILLS), "20261124"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    batches = msgspec.json.decode(done.stdout, type=list[int])
    assert len(batches) == KILLS
    assert len(set(batches)) > KILLS // 2, "most of the clerks had booked something"
    undisturbed.mkdir()
    (undisturbed / "journal").symlink_to(killed / "journal")
    with Desk(killed) as desk, Desk(undisturbed) as other:
        assert desk.book(500).batches > 0, "the last was killed before the end"
        other.book(10**6)
        assert desk.sum() == other.sum()
        with open_archive(desk.engine, desk.lines) as archive:
            proof = audit(archive, desk.journal, desk.root, lambda _: None)
    assert proof.unbooked == 0
    assert (proof.calls, proof.duplicates) == (4 * 20 * 150 + 9 * KILLS, 4 * 50)
