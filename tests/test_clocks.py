"""A clock that jumps changes nothing: real processes whose wall clock is set while they serve."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import openai
import pytest

from steelyard.values.usage import UsageRecord
from tests.fixtures.gateway import read, write_studio
from tests.fixtures.shifted import Shifted
from tests.fixtures.whole import Up, run, up

pytestmark = pytest.mark.xdist_group("clocks")

BUDGET = """
[[budget]]
id = "hourly"
of = "customer"
amount = "0.0030"
currency = "USD"
per = "hour"
"""
BUDGET_PICO = 3_000_000_000
NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC).timestamp()
HOUR_S = 3600


def call(studio: Up) -> str:
    """What becomes of a call; empty, when it is answered."""
    with studio.client() as client:
        try:
            client.chat.completions.create(
                model="echo-1", messages=[{"role": "user", "content": "good day"}], max_tokens=200
            )
        except openai.APIStatusError as exc:
            return str(exc.code)
    return ""


def drain(studio: Up) -> int:
    """Call until a window's budget is used up; how many calls were answered."""
    for calls in range(50):
        if refused := call(studio):
            assert refused == "insufficient_quota"
            return calls
    pytest.fail("it is never used up")


def spent_pico(folder: Path) -> dict[int, int]:
    """What was spent in each hour, at 1 and 2 a million."""
    spent = Counter[int]()
    for each in read(folder / "journal", UsageRecord):
        tokens = each.meters.get("input_tokens", 0) + 2 * each.meters.get("output_tokens", 0)
        spent[each.at_us // (HOUR_S * 1_000_000)] += tokens * 10**6
    return dict(spent)


def until_served(studio: Up) -> None:
    """Wait for the worker that was started instead of a killed one."""
    while True:
        try:
            call(studio)
        except openai.APIConnectionError:
            time.sleep(0.1)
        else:
            return


def test_each_window_has_its_budget_once_however_the_clock_is_set(tmp_path):
    """The worker's clock and the clerk's; the worker is killed, and what it held comes back."""
    folder, clock = write_studio(tmp_path / "studio", [], "queue_s = 5"), Shifted(tmp_path / "site")
    with (folder / "steelyard.toml").open("a", encoding="utf-8") as file:
        file.write(BUDGET)
    clock.set(NOON)
    with up(folder, env=clock.env) as studio:
        assert call(studio) == ""
        clock.step(HOUR_S)
        assert drain(studio), "another hour has its own"
        os.kill(studio.pids["gateway"], signal.SIGKILL)
        clock.step(400 * 24 * HOUR_S)
        until_served(studio)
        drain(studio)
        clock.step(-400 * 24 * HOUR_S)
        assert not drain(studio), "the hour is used up as it was"
        clock.step(-HOUR_S)
        assert drain(studio), "what the killed worker held of this one is there again"
        clock.step(HOUR_S)
        assert not drain(studio)
    spent = spent_pico(folder)
    assert len(spent) == 3
    assert all(BUDGET_PICO // 2 < each <= BUDGET_PICO for each in spent.values()), spent
    audited = run(folder, "audit", "--json", env=clock.env)
    assert msgspec.json.decode(audited.stdout)["whole"], audited.stdout + audited.stderr
