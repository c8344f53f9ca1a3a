"""The worker as a process: how it begins, ends, and shares a port."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import openai
import pytest

from steelyard import app
from steelyard.governance.keys import Key, digest
from steelyard.metering import segments
from steelyard.metering.frames import Seal
from steelyard.metering.recovery import recover
from steelyard.studio import load
from steelyard.system import SystemClock
from steelyard.worker import EXIT_FAILED, EXIT_REFUSED
from tests.fixtures.gateway import Gateway, start, stop, write_studio

pytestmark = pytest.mark.xdist_group("worker")

HELLO: Any = [{"role": "user", "content": "good morning"}]


@pytest.fixture
def folder(tmp_path):
    return write_studio(tmp_path, [])


def streamed(gateway: Gateway, words: int) -> Future[list[str]]:
    """The words of a stream, one every 20 ms, as a thread reads it; begun when this returns."""
    begun = threading.Event()

    def call() -> list[str]:
        got: list[str] = []
        with gateway.client() as client:
            knobs = {"echo": {"words": words, "delay_ms": 20}}
            for chunk in client.chat.completions.create(
                model="echo-1", messages=HELLO, stream=True, extra_body=knobs
            ):
                got.append(chunk.choices[0].delta.content or "")
                begun.set()
        return [word for word in got if word]

    threads = ThreadPoolExecutor(1)
    reading = threads.submit(call)
    threads.shutdown(wait=False)
    assert begun.wait(10)
    return reading


def seals(folder) -> list[Seal | None]:
    return [segments.seal_of(each.path) for each in segments.segments(folder / "journal")]


def test_told_to_end_it_lets_calls_end_and_seals_its_journal(folder):
    gateway = start(folder)
    call = streamed(gateway, 40)
    assert stop(gateway) == 0
    assert len(call.result()) == 40
    (record,) = gateway.records()
    assert record.outcome == "completed"
    assert None not in seals(folder)


def test_it_ends_with_whoever_started_it(folder):
    gateway = start(folder)
    with gateway.process as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
    assert None not in seals(folder)


BROKEN_JOURNAL = """
import sys
from steelyard import worker
from steelyard.metering.journal import JournalError, JournalWriter

def record(self, record):
    raise JournalError("the disk is gone")

JournalWriter.record = record
sys.exit(worker.main(sys.argv[1:]))
"""


def test_it_fails_when_its_journal_does(folder):
    """The call that can't be recorded is not answered, and whoever supervises starts another."""
    gateway = start(folder, program=("-c", BROKEN_JOURNAL))
    with gateway.process as process, gateway.client() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="echo-1", messages=HELLO)
        assert (caught.value.status_code, caught.value.code) == (503, "journal_failed")
        assert process.wait(10) == EXIT_FAILED
    assert gateway.records() == []
    (closed,) = recover(folder / "journal", SystemClock()).recovered
    assert closed.closed == 1
    (record,) = gateway.records()
    assert (record.outcome, record.meters) == ("interrupted", {})


def test_two_workers_share_a_port(folder):
    first = start(folder)
    second = start(folder, port=first.address[1])
    deadline = time.monotonic() + 10
    while len({a.call_id for a in first.announcements()}) < 40 and time.monotonic() < deadline:
        with first.client() as client:
            client.chat.completions.create(model="echo-1", messages=HELLO)
    assert stop(first) == 0
    with second.client() as client:
        client.chat.completions.create(model="echo-1", messages=HELLO)
    assert stop(second) == 0
    by_writer = Counter(each.writer for each in segments.segments(folder / "journal"))
    sealed = [seal for seal in seals(folder) if seal is not None]
    assert len(by_writer) == len(sealed) == 2
    assert all(seal.records > 0 for seal in sealed)


def test_a_faulty_studio_is_refused(folder):
    (folder / "steelyard.toml").write_text("[studio]\nname = 1\n", "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "steelyard.worker", "--studio", str(folder)],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == EXIT_REFUSED
    assert b"steelyard.toml:2" in ran.stderr
    assert ran.stdout == b""


def until(gateway: Gateway, secret: str, *, opens: bool) -> None:
    """Wait until a key opens the gateway, or does not any more."""
    deadline = time.monotonic() + 10
    with gateway.client(secret) as client:
        while time.monotonic() < deadline:
            try:
                client.models.list()
            except openai.AuthenticationError:
                if not opens:
                    return
            else:
                if opens:
                    return
            time.sleep(0.05)
    pytest.fail(f"the key {'does not open' if opens else 'opens'} after 10 s")


def test_keys_are_made_and_revoked_while_it_serves(folder):
    gateway = start(folder)
    database = app.open_database(load(folder, None))
    secret = "sk-sy-made-while-it-serves"
    key = Key(
        id="late",
        customer="acme",
        contract="acme-2026",
        models=("*",),
        sha256=digest(secret),
        name="",
        hint="",
        created_us=SystemClock().wall_us(),
    )
    store = app.open_keys(database)
    until(gateway, secret, opens=False)
    store.add(key)
    until(gateway, secret, opens=True)
    call = streamed(gateway, 60)
    store.revoke("late", SystemClock().wall_us())
    until(gateway, secret, opens=False)
    database.dispose()
    assert len(call.result()) == 60
    assert stop(gateway) == 0
