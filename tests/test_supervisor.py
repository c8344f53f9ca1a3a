"""The supervisor, with small programs that keep to its protocol."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from steelyard.supervisor import Program, ProgramFailedError, Started, Supervisor

GOOD = """
import os, signal, sys, threading
name, log = sys.argv[1:]
def said(what):
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{name} {what}\\n".encode())
def stop(*_):
    said("stopped"); os._exit(0)
signal.signal(signal.SIGTERM, stop)
print('{"ready": true}', flush=True)
while sys.stdin.buffer.read(1): pass
said("orphaned")
"""
FAILS = "raise SystemExit(7)"


def program(name: str, code: str, log: Path) -> Program:
    return Program(name, (sys.executable, "-c", code, name, str(log)), os.environ)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def wait_for(log: Path, line: str) -> None:
    async with asyncio.timeout(20):
        while line not in lines(log):  # noqa: ASYNC110  another process writes them
            await asyncio.sleep(0.02)


async def run(
    programs: Sequence[Program], started: list[Started], notices: list[str]
) -> asyncio.Task[None]:
    ready = asyncio.Event()

    def up(all_of_them: Sequence[Started]) -> None:
        started.extend(all_of_them)
        ready.set()

    task = asyncio.create_task(Supervisor(programs, notices.append).run(up))
    async with asyncio.timeout(20):
        await ready.wait()
    return task


async def test_programs_stop_the_last_one_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started: list[Started] = []
    notices: list[str] = []
    task = await run([program(name, GOOD, log) for name in "abc"], started, notices)
    assert [each.name for each in started] == ["a", "b", "c"]
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert log.read_text().splitlines() == ["c stopped", "b stopped", "a stopped"]
    assert notices == []


async def test_a_killed_program_is_started_again_and_its_name_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started: list[Started] = []
    notices: list[str] = []
    task = await run([program("a", GOOD, log)], started, notices)
    started[0].process.kill()
    async with asyncio.timeout(20):
        while len(notices) < 2:  # noqa: ASYNC110  only time brings them
            await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert notices == [
        "a was ended by SIGKILL; starting it again in 0.2 s",
        "a is ready again",
    ]
    assert log.read_text().splitlines() == ["a stopped"]


async def test_one_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failing = [program("a", GOOD, log), program("b", FAILS, log)]
    with pytest.raises(ProgramFailedError, match="b ended with 7"):
        await Supervisor(failing, lambda _: None).run(lambda _: None)
    assert log.read_text().splitlines() == ["a stopped"]


PARENT = """
import asyncio, sys
from steelyard.supervisor import Program, Supervisor
programs = [Program("a", (sys.executable, "-c", sys.argv[1], "a", sys.argv[2]), {})]
asyncio.run(Supervisor(programs, print).run(lambda _: print("up", flush=True)))
"""


async def test_programs_notice_that_the_supervisor_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, GOOD, str(log), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"up\n"
    parent.kill()
    await parent.wait()
    await wait_for(log, "a orphaned")


async def test_one_that_will_not_drain_is_killed(tmp_path: Path) -> None:
    stubborn = program("a", GOOD.replace("os._exit(0)", "0"), tmp_path / "log")
    started: list[Started] = []
    notices: list[str] = []
    task = await run([stubborn._replace(drain_s=0.2)], started, notices)
    begun_s = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert started[0].process.returncode == -signal.SIGKILL
    assert time.monotonic() - begun_s >= 0.2
    assert notices == ["a had not drained after 0 s, and is killed"]


TURNS = """
import os, sys
name, log, fails = sys.argv[1:4]
def said(what):
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{name} {what}\\n".encode())
if os.path.exists(fails): sys.exit(3)
print('{"ready": true}', flush=True)
for order in sys.stdin:
    said(order.strip())
    if order == "reload\\n": print('{"edition": 2}', flush=True)
    if order == "retire\\n": break
said("ended")
"""


async def test_programs_that_take_orders_are_reloaded_and_relieved(tmp_path: Path) -> None:
    log, fails = tmp_path / "log", tmp_path / "fails"
    turning = [
        Program(name, (sys.executable, "-c", TURNS, name, str(log), str(fails)), {}, turns=True)
        for name in "ab"
    ]
    notices: list[str] = []
    begun: list[Started] = []
    supervisor = Supervisor([program("c", GOOD, log), *turning], notices.append)
    task = asyncio.create_task(supervisor.run(begun.extend))
    async with asyncio.timeout(20):
        while not begun:  # noqa: ASYNC110  only time brings them
            await asyncio.sleep(0.02)
        assert await supervisor.reload() == [{"edition": 2}, {"edition": 2}]
        fails.touch()
        with pytest.raises(ProgramFailedError, match="a ended with 3"):
            await supervisor.restart()
        assert lines(log) == ["a reload", "b reload"], "the old ones go on"
        fails.unlink()
        relieved = await supervisor.restart()
        assert [each.name for each in relieved] == ["a", "b"]
        for each in begun[1:]:
            await each.process.wait()
    assert sorted(lines(log)[2:]) == ["a ended", "a retire", "b ended", "b retire"]
    assert not any(each.process.returncode is not None for each in relieved)
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert notices == []
    assert {each.process.returncode for each in relieved} == {-signal.SIGTERM}
