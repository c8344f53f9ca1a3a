"""After everything has gone wrong, a worker holds what it held before: files, tasks, memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from steelyard.cli.main import cli
from steelyard.values import money, periods
from steelyard.values.meters import PROMPT_METERS
from tests.edge import faulty
from tests.edge.callers import ANOTHER, BOMBS, LEAVING, SMUGGLING, Leaving, Oddity
from tests.edge.faults import AGAIN, TABLE, Again, Row
from tests.edge.faulty import Stage, asking, call, send, sized, tokens
from tests.fixtures.gateway import Gateway

pytestmark = pytest.mark.xdist_group("leaks")

AT_ONCE = 12
SETTLED_S = 15
"""How long the last connections and tasks may take to end: an unused upstream's is kept 4 s."""

FIRST_KB_MAX = 12 << 10
"""How much a worker may grow with the first of each fault: what it learns, and what it loads."""

MORE_KB_MAX = 2 << 10
"""How much with ROUNDS of the same."""

ROUNDS = 20


class Held(NamedTuple):
    """What a worker holds."""

    tasks: list[str]
    calls: list[int]
    """For each desk, calls and attempts that it counts as under way."""
    files: int
    rss_kb: int


def held(gateway: Gateway) -> Held:
    """Ask the worker."""
    path = gateway.folder / "told.json"
    path.unlink(missing_ok=True)
    os.kill(gateway.process.pid, signal.SIGUSR1)
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline, "the worker does not tell"
        time.sleep(0.01)
    return Held(**json.loads(path.read_text("utf-8")))


def settled(gateway: Gateway, before: Held) -> Held:
    """What is held once it is no more than before, or after a while."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        now = held(gateway)
        same = (now.tasks, now.calls) == (before.tasks, before.calls)
        if (same and now.files <= before.files) or time.monotonic() > deadline:
            return now
        time.sleep(0.1)


def wrong(stage: Stage, fault: Row | Again | Leaving | Oddity) -> None:
    """Let one thing go wrong."""
    if isinstance(fault, Row | Again):
        call(stage.gateway, fault)
        return
    with contextlib.suppress(ConnectionError), send(stage.gateway, fault.sent) as connection:
        if isinstance(fault, Oddity):
            connection.sendall(ANOTHER)
            while connection.recv(65536):
                pass
            return
        time.sleep(0 if fault.after else 0.2)
        got = b""
        while fault.after not in got and (part := connection.recv(65536)):
            got += part


def sound(stage: Stage) -> None:
    for model, streamed in (("usage", False), ("stream-usage", True)):
        with send(stage.gateway, sized(asking(model, streamed=streamed))) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_nothing_is_left_of_what_went_wrong(tmp_path):
    with faulty.stage(tmp_path) as stage, ThreadPoolExecutor(AT_ONCE) as pool:
        before = held(stage.gateway)
        faults = [*TABLE, *AGAIN, *LEAVING, *SMUGGLING, *BOMBS]
        assert len(list(pool.map(lambda fault: wrong(stage, fault), faults))) == len(faults)
        after = settled(stage.gateway, before)
        assert after.tasks == before.tasks
        assert after.calls == before.calls == [0]
        assert after.files <= before.files
        assert after.rss_kb - before.rss_kb < FIRST_KB_MAX
        again = [row for row in LEAVING if row.model != "nearly-ends"]
        for _ in range(ROUNDS):
            list(pool.map(lambda row: wrong(stage, row), again))
        at_last = settled(stage.gateway, before)
        assert at_last.tasks == before.tasks
        assert at_last.calls == [0]
        assert at_last.files <= before.files
        assert at_last.rss_kb - after.rss_kb < MORE_KB_MAX
        sound(stage)
    books_are_whole(stage.gateway)


PICO_BY_METER = {**dict.fromkeys(PROMPT_METERS, 10**6), "output_tokens": 2 * 10**6}
"""What acme pays; reasoning costs what output does."""


def books_are_whole(gateway: Gateway) -> None:
    """All of it comes to one invoice, of exactly what was delivered; the audit finds the same."""
    records = gateway.records()
    owed_pico = sum(
        units * PICO_BY_METER.get(meter, 2 * 10**6)
        for record in records
        for meter, units in tokens(record.meters).items()
    )
    assert owed_pico
    month = periods.from_us(records[0].at_us).strftime("%Y-%m")
    closed = json.loads(steelyard(gateway, "close", month, "--early", "--json"))
    invoices = [each for each in closed["documents"] if each["kind"] == "invoice"]
    assert [each["party"] for each in invoices] == ["acme"]
    (path,) = gateway.folder.glob(f"documents/*/invoices/{invoices[0]['number']}.json")
    lines = json.loads(path.read_text("utf-8"))["lines"]
    assert sum(money.scaled(line["amount"], 10**12) for line in lines) == owed_pico
    steelyard(gateway, "audit")


def steelyard(gateway: Gateway, *arguments: str) -> str:
    found = CliRunner().invoke(cli, ["--studio", str(gateway.folder), *arguments])
    assert found.exit_code == 0, found.output
    return found.stdout
