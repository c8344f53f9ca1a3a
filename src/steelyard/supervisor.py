"""Supervisor: the processes of ``steelyard up``, started at once, restarted, stopped in order.

Each program keeps to one protocol: it prints one JSON line on stdout when it is ready, it ends
itself on SIGTERM after it has drained, and when its stdin, a pipe of ours, closes, for then we are
gone. A program that ends by itself is started again, after a pause that doubles while it keeps
failing. One that ``turns`` takes orders too, a line each on stdin: ``reload``, which it answers
with a line on stdout, and ``retire``: take nothing new, and end when all that it serves has ended.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from steelyard.edge.ports import Port, PortTakenError

READY_S: Final = 60.0
DRAIN_S: Final = 30.0
RELOAD_S: Final = 60.0
PAUSE_S_MIN: Final = 0.2
PAUSE_S_MAX: Final = 10.0
HEALTHY_S: Final = 30.0
"""A program that ran this long had recovered: its next pause is the shortest again."""

RELOAD: Final = b"reload\n"
RETIRE: Final = b"retire\n"


class Program(NamedTuple):
    """What to run, and with which environment.

    ``port``: it is given a socket of this port, by ``--listen`` and a number. ``drain_s``: how long
    it may take to end. ``turns``: it takes orders, and ``retire_s`` to end once it was relieved.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    port: Port | None = None
    drain_s: float = DRAIN_S
    turns: bool = False
    retire_s: float = DRAIN_S


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


class _Post:
    """A program's place, whoever fills it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.socket: socket.socket | None = None
        self.started: Started | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()


class Supervisor:
    """Runs programs until it is told to stop."""

    def __init__(self, programs: Sequence[Program], notice: Notice) -> None:
        self._posts = [_Post(each) for each in programs]
        self._notice = notice
        self.stopping = asyncio.Event()
        """Set when it was told to stop."""
        self._retiring: dict[asyncio.Task[None], Started] = {}

    @property
    def stop_s(self) -> float:
        """How long stopping may take: those that take orders at once, the others in turn."""
        of = [post.program for post in self._posts]
        turning = max((each.drain_s for each in of if each.turns), default=0.0)
        return max(turning, DRAIN_S) + sum(each.drain_s for each in of if not each.turns)

    @property
    def retiring(self) -> int:
        """How many programs were relieved, and end what they serve."""
        return len(self._retiring)

    async def run(self, up: Callable[[Sequence[Started]], None]) -> None:
        """Run them until SIGTERM or SIGINT; ``up`` is told once, when all are ready.

        They start together. Those that take orders stop together, then the others, the last first.
        Raises: ProgramFailedError when one can't be started the first time, PortTakenError
        when a port can't be taken; what had started is stopped.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        try:
            for post in self._posts:
                if post.program.port is not None:
                    post.socket = post.program.port.take()
            begun = await asyncio.gather(*map(_fill, self._posts), return_exceptions=True)
            for each in begun:
                if isinstance(each, BaseException):
                    raise each
            up([post.started for post in self._posts if post.started is not None])
            for post in self._posts:
                post.keeper = asyncio.create_task(self._keep(post))
            await self.stopping.wait()
        finally:
            self.stopping.set()
            await self._stop_all()

    async def reload(self) -> list[Mapping[str, object]]:
        """Have each program that takes orders read anew; what each answered.

        One that does not answer reads anew when it is started again, and is left out.
        """
        return [
            answer
            for post in self._posts
            if post.program.turns and (answer := await self._ask(post)) is not None
        ]

    async def restart(self) -> list[Started]:
        """Relieve each program that takes orders by a new one; it ends what it serves.

        One that is being started again is a new one already.
        Raises: ProgramFailedError when one can't be started; it and those after it stay.
        """
        turning = [post for post in self._posts if post.program.turns]
        return [await self._relieve(post) for post in turning if not post.lock.locked()]

    async def _ask(self, post: _Post) -> Mapping[str, object] | None:
        if post.lock.locked():
            return None
        async with post.lock:
            started = post.started
            if started is None or started.process.returncode is not None:
                return None
            stdin, stdout = _pipes(started)
            try:
                stdin.write(RELOAD)
                async with asyncio.timeout(RELOAD_S):
                    return msgspec.json.decode(await stdout.readline(), type=dict[str, object])
            except (msgspec.DecodeError, TimeoutError, ConnectionError):
                return None

    async def _relieve(self, post: _Post) -> Started:
        async with post.lock:
            before = post.started
            started = await _start(post.program, post.socket)
            post.started = started
            if post.keeper is not None:
                post.keeper.cancel()
            post.keeper = asyncio.create_task(self._keep(post))
        if before is not None and before.process.returncode is None:
            stdin, _ = _pipes(before)
            with suppress(ConnectionError):
                stdin.write(RETIRE)
            task = asyncio.create_task(self._see_off(before, post.program.retire_s))
            self._retiring[task] = before
            task.add_done_callback(self._retiring.pop)
        return started

    async def _see_off(self, started: Started, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await started.process.wait()
        except TimeoutError:
            await _stop(started, DRAIN_S, self._notice)

    async def _keep(self, post: _Post) -> None:
        loop = asyncio.get_running_loop()
        pause_s = PAUSE_S_MIN
        while True:
            begun_s, started = loop.time(), post.started
            assert started is not None
            status = await started.process.wait()
            if self.stopping.is_set():
                return
            if loop.time() - begun_s > HEALTHY_S:
                pause_s = PAUSE_S_MIN
            async with post.lock:
                pause_s = await self._start_again(post, status, pause_s)

    async def _start_again(self, post: _Post, status: int, pause_s: float) -> float:
        """Start a program until it is ready; how long the next pause is."""
        name = post.program.name
        while True:
            self._notice(f"{name} {_ended(status)}; starting it again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
            try:
                if post.socket is None and post.program.port is not None:
                    post.socket = post.program.port.take()
                await _fill(post)
            except (ProgramFailedError, PortTakenError) as exc:
                self._notice(str(exc))
                # Else connections would wait for it that others can have.
                _release(post)
                status = 1
                continue
            self._notice(f"{name} is ready again")
            return pause_s

    async def _stop_all(self) -> None:
        keepers = [post.keeper for post in self._posts if post.keeper is not None]
        for each in (*keepers, *self._retiring):
            each.cancel()
        relieved = list(self._retiring.values())
        await asyncio.gather(*keepers, *self._retiring, return_exceptions=True)
        turning = [post for post in self._posts if post.program.turns]
        await asyncio.gather(
            *(_stop(started, DRAIN_S, self._notice) for started in relieved),
            *(self._empty(post) for post in turning),
        )
        for post in reversed(self._posts):
            await self._empty(post)

    async def _empty(self, post: _Post) -> None:
        if post.started is not None:
            await _stop(post.started, post.program.drain_s, self._notice)
        _release(post)


async def _fill(post: _Post) -> None:
    post.started = await _start(post.program, post.socket)


def _release(post: _Post) -> None:
    if post.socket is not None:
        post.socket.close()
        post.socket = None


async def _start(program: Program, taken: socket.socket | None) -> Started:
    listens = () if taken is None else (taken.fileno(),)
    process = await asyncio.create_subprocess_exec(
        *program.argv,
        *(f"--listen={number}" for number in listens),
        env=dict(program.env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for us: we end the programs in order.
        start_new_session=True,
        pass_fds=listens,
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


def _pipes(started: Started) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    stdin, stdout = started.process.stdin, started.process.stdout
    assert stdin is not None
    assert stdout is not None
    return stdin, stdout


async def _stop(started: Started, seconds: float, notice: Notice) -> None:
    process = started.process
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        notice(f"{started.name} had not drained after {seconds:.0f} s, and is killed")
        process.kill()
        await process.wait()


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
