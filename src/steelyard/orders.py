"""Orders: how a command speaks with the ``steelyard up`` that runs in the same studio.

A socket in the studio's folder takes one line of JSON and gives one back. Only who may write into
the folder can reach it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

LINE_BYTES_MAX = 1 << 20
READ_S = 10.0
ANSWER_S = 300.0
"""How long an order may take to arrive, and to be carried out."""

_FILE = Path("run") / "up.sock"

Verb = Literal["reload", "restart"]


class Order(msgspec.Struct, frozen=True):
    """What is to be done."""

    verb: Verb


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order: ``faults`` are why nothing was done.

    ``edition`` is what the workers serve by; ``workers`` are those that do. ``at_restart`` and
    ``at_start`` name settings that changed and wait; ``ending`` are workers with calls to end.
    """

    faults: tuple[str, ...] = ()
    edition: int = 0
    workers: int = 0
    at_restart: tuple[str, ...] = ()
    at_start: tuple[str, ...] = ()
    ending: int = 0


class NobodyThereError(RuntimeError):
    """No ``steelyard up`` runs in this studio."""

    code = "not_up"


class AlreadyUpError(RuntimeError):
    """A ``steelyard up`` runs in this studio already."""

    code = "up_already"


Carry = Callable[[Order], Awaitable[Outcome]]


@asynccontextmanager
async def taking(root: Path, carry: Carry) -> AsyncGenerator[None]:
    """Take orders for as long as this lasts.

    Raises: AlreadyUpError.
    """

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_S):
                line = await reader.readline()
            order = msgspec.json.decode(line, type=Order)
            writer.write(msgspec.json.encode(await carry(order)) + b"\n")
            await writer.drain()
        except (msgspec.DecodeError, TimeoutError, ConnectionError, ValueError):
            pass  # whoever that was, it gets no answer
        finally:
            writer.close()

    path = _address(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    if _answers(path):
        msg = f"{path} answers: `steelyard up` runs here already; `steelyard restart` renews it"
        raise AlreadyUpError(msg)
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(take, path, limit=LINE_BYTES_MAX)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def give(root: Path, order: Order) -> Outcome:
    """Give an order, and wait until it is carried out.

    Raises: NobodyThereError.
    """
    msg = f"`steelyard up` does not run in {root.absolute()}, or ended meanwhile; start it there"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(_address(root)))
            connection.sendall(msgspec.json.encode(order) + b"\n")
            with connection.makefile("rb") as file:
                line = file.readline(LINE_BYTES_MAX)
        except OSError as exc:
            raise NobodyThereError(msg) from exc
    if not line:
        raise NobodyThereError(msg)
    return msgspec.json.decode(line, type=Outcome)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def _address(root: Path) -> Path:
    """The socket by its shorter name: a system takes about a hundred characters of it."""
    path = (root / _FILE).absolute()
    return min(path, Path(os.path.relpath(path)), key=lambda each: len(str(each)))
