"""Supervisor: the processes of ``steelyard up``, started at once, restarted, stopped in order.

Each program keeps to one protocol: it prints one JSON line on stdout when it is ready, it ends
itself on SIGTERM after it has drained, and when its stdin, a pipe of ours, closes, for then we are
gone. A program that ends by itself is started again, after a pause that doubles while it keeps
failing.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

READY_S: Final = 60.0
DRAIN_S: Final = 30.0
PAUSE_S_MIN: Final = 0.2
PAUSE_S_MAX: Final = 10.0
HEALTHY_S: Final = 30.0
"""A program that ran this long had recovered: its next pause is the shortest again."""


class Program(NamedTuple):
    """What to run, and with which environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


class Started(NamedTuple):
    """A program that is ready, and what its ready line said."""

    name: str
    process: asyncio.subprocess.Process
    ready: Mapping[str, object]


class ProgramFailedError(Exception):
    """A program ended or stayed silent before it was ready; its stderr says why."""

    code: Final = "program_failed"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} {why}; what it wrote above says more")


Notice = Callable[[str], None]


async def supervise(
    programs: Sequence[Program], *, notice: Notice, up: Callable[[Sequence[Started]], None]
) -> None:
    """Run programs until SIGTERM or SIGINT; ``up`` is told once, when all are ready.

    They start together and stop one after the other, the last one first.
    Raises: ProgramFailedError when one can't be started the first time; what had started is
    stopped.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running: dict[str, Started] = {}
    keepers: list[asyncio.Task[None]] = []
    try:
        begun = await asyncio.gather(*map(_start, programs), return_exceptions=True)
        running |= {each.name: each for each in begun if isinstance(each, Started)}
        for each in begun:
            if isinstance(each, BaseException):
                raise each
        up(list(running.values()))
        keepers = [asyncio.create_task(_keep(each, running, stopping, notice)) for each in programs]
        await stopping.wait()
    finally:
        stopping.set()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for program in reversed(programs):
            if program.name in running:
                await _stop(running[program.name], notice)


async def _start(program: Program) -> Started:
    process = await asyncio.create_subprocess_exec(
        *program.argv,
        env=dict(program.env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for us: we end the programs in order.
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        if not line:
            raise ProgramFailedError(program.name, f"ended with {await process.wait()}")
        return Started(program.name, process, msgspec.json.decode(line, type=dict[str, object]))
    except TimeoutError as exc:
        process.kill()
        await process.wait()
        raise ProgramFailedError(program.name, f"was not ready after {READY_S:.0f} s") from exc
    except (msgspec.DecodeError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise


async def _keep(
    program: Program, running: dict[str, Started], stopping: asyncio.Event, notice: Notice
) -> None:
    loop = asyncio.get_running_loop()
    pause_s = PAUSE_S_MIN
    while True:
        begun_s = loop.time()
        status = await running[program.name].process.wait()
        if stopping.is_set():
            return
        if loop.time() - begun_s > HEALTHY_S:
            pause_s = PAUSE_S_MIN
        while True:
            notice(f"{program.name} {_ended(status)}; starting it again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
            try:
                running[program.name] = await _start(program)
            except ProgramFailedError as exc:
                notice(str(exc))
                status = 1
                continue
            notice(f"{program.name} is ready again")
            break


async def _stop(started: Started, notice: Notice) -> None:
    process = started.process
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(DRAIN_S):
            await process.wait()
    except TimeoutError:
        notice(f"{started.name} had not drained after {DRAIN_S:.0f} s, and is killed")
        process.kill()
        await process.wait()


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
