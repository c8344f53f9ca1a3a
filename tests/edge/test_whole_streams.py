"""No stream loses a word: its worker stands still, is reloaded, keys change, its reader is slow."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steelyard import app
from steelyard.governance.keys import Key, digest
from steelyard.studio import load
from steelyard.system import SystemClock
from tests.edge.answers import STOP, chunk
from tests.edge.faulty import sized
from tests.fixtures.gateway import Deployed, Gateway, running
from tests.fixtures.upstreams import Script, chunks, serving, stream

pytestmark = pytest.mark.xdist_group("whole")

WORDS = 300
STILL_S = 0.4
"""For how long the worker stands still, each time."""

TURNS = 3
FILLING = "." * 3000
"""What makes events so long that a slow reader's stream is held back on its way."""

_WORD = re.compile(rb'"content": ?" ?w(\d+)\.*(?:\\")?"')
_FRAME = re.compile(rb"\r\n[0-9a-f]+\r\n")


def events(word: Callable[[int], str]) -> list[str]:
    told = {"prompt_tokens": 12, "completion_tokens": WORDS, "total_tokens": 12 + WORDS}
    usage = json.dumps({"id": "chatcmpl-1", "choices": [], "usage": told})
    return [*(chunk(word(each)) for each in range(WORDS)), STOP, usage, "[DONE]"]


def torn(sent: bytes, seed: int) -> Script:
    """These bytes in parts of any size, now and then a moment apart."""

    def script(connection: socket.socket, hung_up: threading.Event) -> None:
        chance, at = random.Random(seed), 0
        while at < len(sent):
            size = chance.choice((1, 40, 200, 900, 8000))
            connection.sendall(sent[at : at + size])
            at += size
            if chance.random() < 0.2:
                time.sleep(0.005)

    return script


PLAIN, LONG = events(lambda each: f"w{each}"), events(lambda each: f"w{each}{FILLING}")
QUOTED = events(lambda each: f"w{each}" + '"' * (each % 7 == 3))
SCRIPTS = {
    "plain": torn(stream(*PLAIN), 1),
    "quoted": torn(stream(*QUOTED), 2),
    "long": torn(stream(*LONG), 3),
    "at-once": torn(stream(*PLAIN[:1], end=False) + chunks(*PLAIN[1:]), 4),
}
READERS = [(model, slow) for model in (*SCRIPTS, "echo-1") for slow in (False, True)] * 2


async def read(gateway: Gateway, model: str, *, slow: bool) -> bytes:
    """All that a stream brings, read as fast as it comes, or through a narrow door."""
    loop, got = asyncio.get_running_loop(), b""
    fields: dict[str, Any] = {"model": model, "stream": True}
    fields["messages"] = [{"role": "user", "content": " ".join(f"w{n}" for n in range(WORDS))}]
    fields["echo"] = {"delay_ms": 5}
    with socket.socket() as connection:
        if slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, gateway.address)
        await loop.sock_sendall(connection, sized(json.dumps(fields).encode()))
        async with asyncio.timeout(30):
            while not got.endswith(b"\r\n0\r\n\r\n"):
                part = await loop.sock_recv(connection, 4096 if slow else 1 << 16)
                assert part, f"the stream of {model} ended early: {got[-300:]!r}"
                got += part
                await asyncio.sleep(0.003 if slow else 0)
    return got


async def disturb(gateway: Gateway, folder: Path) -> None:
    """Make and revoke keys, have all published again, let the worker stand still: in turn."""
    database = app.open_database(load(folder, None))
    keys, clock, process = app.open_keys(database), SystemClock(), gateway.process
    assert process.stdin is not None
    assert process.stdout is not None
    for turn in range(TURNS):
        await asyncio.sleep(0.15)
        name, sha256 = f"late-{turn}", digest(f"sk-sy-late-{turn}")
        keys.add(_key(name, sha256, clock.wall_us()))
        process.stdin.write(b"reload\n")
        process.stdin.flush()
        assert await asyncio.to_thread(process.stdout.readline)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STILL_S)
        process.send_signal(signal.SIGCONT)
        keys.revoke(name, clock.wall_us())
    database.dispose()


def _key(name: str, sha256: str, created_us: int) -> Key:
    return Key(
        id=name,
        customer="acme",
        contract="acme-2026",
        models=("*",),
        sha256=sha256,
        name="",
        hint="",
        created_us=created_us,
    )


async def test_no_stream_loses_a_word(tmp_path):
    with serving(SCRIPTS) as upstream:
        deployed = [Deployed(name, "openai", upstream.url(name)) for name in SCRIPTS]
        with running(tmp_path, deployed) as gateway:
            reading = [
                asyncio.create_task(read(gateway, model, slow=slow)) for model, slow in READERS
            ]
            await disturb(gateway, tmp_path)
            answers = await asyncio.gather(*reading)
            records = gateway.records()
    for (model, slow), got in zip(READERS, answers, strict=True):
        words = [int(word) for word in _WORD.findall(_FRAME.sub(b"", got))]
        assert words == list(range(WORDS)), (model, slow)
        assert got.count(b"data: [DONE]\n\n") == 1
    assert len(records) == len(READERS)
    assert {each.outcome for each in records} == {"completed"}
    assert {each.meters["output_tokens"] for each in records} == {WORDS}
