"""Load: a mock upstream and wrk, both in C on the last core; servers have the first alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOT = Path(__file__).parents[1]
SETUP = Path(__file__).parent / "setup"
CACHE = ROOT / ".dev" / "peers"
"""What benchmarks build and install."""

CORES = os.cpu_count() or 1
SERVER_CORE, LOAD_CORE = "0", str(CORES - 1)
START_S = 90
STOP_S = 10
ANSWER_S = 20
"""How long wrk waits for an answer before it counts as broken."""


class MissingError(Exception):
    """Something that a benchmark needs is not there, and how to get it."""


class Measured(msgspec.Struct, frozen=True):
    """What wrk saw. Unit: ``*_us`` microseconds; ``us`` is how long it took."""

    calls: int
    us: int
    refused: int
    broken: int
    p50_us: int
    p99_us: int

    @property
    def per_s(self) -> float:
        """Calls a second that were answered as asked."""
        return (self.calls - self.refused) / self.us * 1e6


class Way(NamedTuple):
    """How something is called: where, as which model, with which key and headers."""

    url: str
    model: str = "m-fast"
    key: str = "sk-upstream"
    headers: Mapping[str, str] = {}


class Mock(NamedTuple):
    """A running mock: the port that answers at once, and the one that takes its time."""

    plain: int
    paced: int


def tool(name: str, package: str) -> str:
    """A program's path. Raises: MissingError."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        msg = f"{name} is not here (Debian, Ubuntu: apt install {package})"
        raise MissingError(msg)
    return found


def compiled(name: str) -> Path:
    """A program of ``setup/``, compiled unless it is already. Raises: MissingError."""
    source = SETUP / f"{name}.c"
    program = CACHE / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        run([tool("cc", "gcc libc6-dev"), "-O2", "-o", str(program), str(source)])
    return program


def run(command: Sequence[str], cwd: Path | None = None) -> None:
    """Run to its end. Raises: MissingError, with the last of what it said."""
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        msg = f"{Path(command[0]).name} failed: {said[-1] if said else ended.returncode}"
        raise MissingError(msg)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in taken]


@contextmanager
def started(
    command: Sequence[str],
    core: str = SERVER_CORE,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    told: bool = False,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a process on one core, in a group of its own; ``told``: its stdout is read."""
    process = subprocess.Popen(
        [tool("taskset", "util-linux"), "-c", core, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if told else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with process:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_listening(process: subprocess.Popen[bytes], *ports: int) -> None:
    """Wait until somebody listens on each port. Raises: MissingError when it doesn't come."""
    ends_s = time.monotonic() + START_S
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError as exc:
                if process.poll() is not None or time.monotonic() > ends_s:
                    msg = "it does not start"
                    raise MissingError(msg) from exc
                time.sleep(0.1)


@contextmanager
def mock(pace_us: int, events: int = 34, seconds: int = 0) -> Generator[Mock]:
    """A mock upstream, whose streams have ``events`` events, one each ``pace_us`` where paced.

    A paced stream ends after ``seconds``, if that is sooner.
    """
    ports = Mock(*free_ports(2))
    numbers = (ports.plain, ports.paced, pace_us, events, seconds)
    with started([str(compiled("mock")), *map(str, numbers)], LOAD_CORE) as process:
        wait_listening(process, *ports)
        yield ports


def wrk(way: Way, connections: int, seconds: float, *, streamed: bool = False) -> Measured:
    """Call as often as ``connections`` at once can, for a while. Raises: MissingError."""
    command = [tool("taskset", "util-linux"), "-c", LOAD_CORE, tool("wrk", "wrk"), "-t1"]
    command += [f"-c{connections}", f"-d{max(1, round(seconds))}s", f"--timeout={ANSWER_S}s"]
    command += [f"-s{SETUP / 'load.lua'}", way.url]
    extra = ";".join(f"{name}={value}" for name, value in way.headers.items())
    told = {"MODEL": way.model, "KEY": way.key, "STREAM": str(int(streamed)), "EXTRA": extra}
    ended = subprocess.run(
        command, env={**os.environ, **told}, capture_output=True, check=True, timeout=120
    )
    return msgspec.json.decode(ended.stdout.splitlines()[-1], type=Measured)


def rss_mb(pid: int) -> float:
    """The memory of the largest process among ``pid`` and its children."""
    return max(map(_rss_mb, _family(pid)))


def core_us(pid: int) -> float:
    """How long ``pid`` and its children have had a core: what others do on it is not in that."""
    return sum(map(_core_us, _family(pid)))


def _core_us(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text("ascii").split()[0]) / 1000 for each in threads)


def _rss_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) / 1024 for words in lines if words[0] == "VmRSS:"), 0)


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            told = Path(f"/proc/{each}/task/{each}/children").read_text("utf-8")
        except OSError:
            continue
        found += map(int, told.split())
    return found
