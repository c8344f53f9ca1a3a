from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from steelyard.store.closings import Closings
from tests.clerk.charging import BEGUN, MEASURED, SEATS, Charging, documents
from tests.clerk.desk import Desk, calls, journal
from tests.clerk.ordering import audited

KILLS = 20
STEPS = 24
"""A closing is killed this part of the time that one takes later than the one before it was."""


def prepare(root: Path) -> None:
    with Desk(root) as desk:
        journal(root, "one-1", calls(300))
        Charging(desk, documents()).happened(SEATS, BEGUN, MEASURED)


def close(root: Path, attempt: int) -> None:
    with Desk(root) as desk:
        Charging(desk, documents(), first_writer=1000 * attempt).close("2026-10")


def killed(root: Path, attempt: int, delay_s: float) -> bool:
    child = os.fork()
    if child == 0:
        close(root, attempt)
        os._exit(0)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def issued(root: Path) -> list[tuple[str, bytes]]:
    with Desk(root) as desk:
        audited(desk)
        made = Closings(desk.engine, desk.lines).closing("2026-10")
        assert made is not None
        return [(file.path, file.content) for each in made.documents for file in each.files]


def test_a_closing_with_fees_that_is_killed_again_and_again_issues_the_same(tmp_path):
    once, often = tmp_path / "once", tmp_path / "often"
    for root in (once, often):
        prepare(root)
    began_s = time.monotonic()
    close(once, 1)
    took_s = time.monotonic() - began_s
    died = [killed(often, n, took_s * n / STEPS) for n in range(1, KILLS + 1)]
    assert any(died)
    close(often, KILLS + 1)
    assert issued(often) == issued(once)
