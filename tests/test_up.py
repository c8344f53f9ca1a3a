"""A whole studio with several workers: keys, documents and workers change while calls go on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest

from steelyard import app
from steelyard.governance.keys import Key, digest
from steelyard.metering import segments
from steelyard.studio import load
from steelyard.system import SystemClock
from steelyard.values.usage import Announcement, UsageRecord
from tests.fixtures.gateway import SECRET, Deployed, read, write_studio
from tests.fixtures.upstreams import chunks
from tests.fixtures.upstreams import stream as stream_of
from tests.fixtures.whole import up

pytestmark = pytest.mark.xdist_group("worker")

STREAMS = 1000
HANDS = 64

FIRST = stream_of('{"id":"x","choices":[{"index":0,"delta":{"content":"to be "}}]}', end=False)
LAST = chunks(
    '{"id":"x","choices":[{"index":0,"delta":{"content":"continued"},"finish_reason":"stop"}]}',
    '{"id":"x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}',
    "[DONE]",
)


def request(secret: str, body: object, *, close: bool = False) -> bytes:
    data = msgspec.json.encode(body)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
    )
    return head.encode() + (b"connection: close\r\n\r\n" if close else b"\r\n") + data


STREAM = {
    "model": "held-1",
    "stream": True,
    "messages": [{"role": "user", "content": "to be or not to be"}],
}
SHORT = {"model": "echo-1", "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def held(over: asyncio.Event) -> AsyncGenerator[str]:
    """An upstream whose streams begin at once, and end when all is over; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FIRST)
        await over.wait()
        writer.write(LAST)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=STREAMS)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()


async def stream(address: tuple[str, int], begun: Callable[[], None]) -> bool:
    """One stream; whether it came to its end."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request(SECRET, STREAM))
    data = b""
    while b"data: [DONE]" not in data and (part := await reader.read(65536)):
        if b"to be " in part:
            begun()
        data += part
    writer.close()
    return b"data: [DONE]" in data and b"continued" in data


async def knock(address: tuple[str, int], statuses: Counter[bytes], over: asyncio.Event) -> None:
    """A call on a connection of its own, again and again."""
    while not over.is_set():
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request(SECRET, SHORT, close=True))
        statuses[(await reader.read()).split(b" ", 2)[1]] += 1
        writer.close()


async def lean(address: tuple[str, int], statuses: Counter[bytes], over: asyncio.Event) -> None:
    """Calls on one connection, as long as the other end keeps it."""
    while not over.is_set():
        reader, writer = await asyncio.open_connection(*address)
        kept = True
        while kept and not over.is_set():
            writer.write(request(SECRET, SHORT))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            (length,) = re.findall(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length))
            statuses[head.split(b" ", 2)[1]] += 1
            kept = b"connection: close" not in head
        writer.close()


@pytest.mark.timeout(120)
async def test_reload_and_restart_drop_no_stream_and_refuse_no_call(tmp_path):
    over = asyncio.Event()
    statuses: Counter[bytes] = Counter()
    async with held(over) as url:
        write_studio(tmp_path, [Deployed("held-1", "openai", url)])
        with up(tmp_path, "--workers", "2") as studio:
            left = asyncio.Semaphore(0)
            streams = [
                asyncio.create_task(stream(studio.address, left.release)) for _ in range(STREAMS)
            ]
            for _ in streams:
                await left.acquire()
            callers = (knock, lean)
            others = [asyncio.create_task(each(studio.address, statuses, over)) for each in callers]
            contract = tmp_path / "contracts" / "acme.toml"
            contract.write_text(contract.read_text("utf-8").replace('"1"', '"3"'), "utf-8")
            reloaded = await asyncio.to_thread(studio.run, "reload", "--json")
            restarted = await asyncio.to_thread(studio.run, "restart", "--json")
            assert not any(each.done() for each in (*streams, *others))
            before = statuses.total()
            while statuses.total() < before + 20:  # noqa: ASYNC110 - others count
                await asyncio.sleep(0.02)
            over.set()
            assert await asyncio.gather(*streams) == [True] * STREAMS
            await asyncio.gather(*others)
    first, second = (msgspec.json.decode(each.stdout) for each in (reloaded, restarted))
    assert (first["workers"], first["edition"], first["ending"]) == (2, 2, 0)
    assert (second["workers"], second["edition"], second["ending"]) == (2, 2, 2)
    assert statuses.keys() == {b"200"}
    journal = tmp_path / "journal"
    records = read(journal, UsageRecord)
    assert Counter(each.outcome for each in records) == {"completed": STREAMS + statuses[b"200"]}
    assert {each.edition for each in records if each.model == "held-1"} == {1}
    assert {each.edition for each in records if each.model == "echo-1"} >= {2}
    assert len(segments.writers(journal)) == 4
    assert all(segments.seal_of(each.path) for each in segments.segments(journal))


@pytest.mark.timeout(120)
async def test_a_revoked_key_stops_on_eight_workers_under_load(tmp_path):
    write_studio(tmp_path, [])
    secret = "sk-sy-revoked-under-load"
    key = Key(id="late", customer="acme", contract="acme-2026", sha256=digest(secret))
    with up(tmp_path, "--workers", "8") as studio:
        database = app.open_database(load(tmp_path, None))
        store = app.open_keys(database)
        limits = httpx2.Limits(max_connections=1)
        stopped: dict[int, bool] = dict.fromkeys(range(HANDS), False)
        answered: Counter[int] = Counter()

        async def hand(number: int) -> None:
            """Call on one connection, thus at one worker, until the key opens nothing any more."""
            async with httpx2.AsyncClient(limits=limits, timeout=30) as client:
                while True:
                    got = await client.post(
                        f"{studio.url}/chat/completions",
                        headers={"authorization": f"Bearer {secret}"},
                        json=SHORT,
                    )
                    if got.status_code == 200:
                        answered[number] += 1
                    elif answered[number]:
                        assert (got.status_code, got.json()["error"]["code"]) == (
                            401,
                            "invalid_api_key",
                        )
                        return

        store.add(msgspec.structs.replace(key, created_us=SystemClock().wall_us()))
        hands = [asyncio.create_task(hand(number)) for number in stopped]
        async with asyncio.timeout(60):
            while len(answered) < HANDS:  # noqa: ASYNC110 - others count
                await asyncio.sleep(0.02)
            store.revoke("late", SystemClock().wall_us())
            await asyncio.gather(*hands)
        database.dispose()
    served = {
        segment.writer
        for segment in segments.segments(tmp_path / "journal")
        for _, _, item in segments.read(segment.path)
        if isinstance(item, Announcement)
    }
    assert len(served) == 8


def test_a_faulty_studio_changes_nothing_and_stops_nobody(tmp_path):
    write_studio(tmp_path, [])
    with up(tmp_path) as studio:
        main = tmp_path / "steelyard.toml"
        sound = main.read_text("utf-8")
        main.write_text(sound.replace('contract = "acme-2026"', 'contract = "acme-2025"'), "utf-8")
        refused = studio.run("reload")
        assert refused.returncode == 1
        assert 'unknown contract "acme-2025"' in refused.stderr
        assert "steelyard.toml:" in refused.stderr
        assert studio.run("restart").returncode == 1
        os.kill(studio.pids["gateway"], signal.SIGKILL)
        with studio.client() as client:
            # A connection that the killed worker had not taken in is its successor's.
            assert client.models.list().data[0].id == "echo-1"
        main.write_text(sound.replace("[gateway]", "[gateway]\nworkers = 2\ntotal_s = 30"), "utf-8")
        done = studio.run("reload")
        assert done.stdout == (
            "1 worker serves by edition 1; [gateway] total_s: at the next `steelyard restart`; "
            "[gateway] workers: when `steelyard up` is started anew.\n"
        )
        again = studio.run("up", "--port", "0")
        assert again.returncode == 1
        assert "runs here already" in again.stderr
    assert studio.run("reload").returncode == 1


def test_a_deployment_drains_as_it_serves(tmp_path):
    write_studio(tmp_path, [])
    main = tmp_path / "steelyard.toml"
    serving = main.read_text("utf-8")
    draining = serving.replace('kind = "echo"', 'kind = "echo"\ndraining = true')
    assert draining != serving
    statuses: list[int] = []
    with up(tmp_path) as studio:
        for text in (draining, serving):
            main.write_text(text, "utf-8")
            assert studio.run("reload").returncode == 0
            headers = {"authorization": f"Bearer {SECRET}"}
            asked = httpx2.post(f"{studio.url}/chat/completions", headers=headers, json=SHORT)
            statuses.append(asked.status_code)
    assert statuses == [503, 200]
