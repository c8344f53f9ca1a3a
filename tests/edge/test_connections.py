"""Our own server over bare sockets: what it serves, what it bounds, whom it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from steelyard.edge import connections, listening
from steelyard.edge.connections import Listen
from steelyard.edge.listening import Server
from steelyard.edge.rsgi import HTTPProtocol, ProtocolClosed, Scope

HOST = b"host: here\r\n"
ONE = b"GET /one HTTP/1.1\r\n" + HOST + b"\r\n"
BYE = b"GET /bye HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST


LARGE_BYTES = 8 << 20


class App:
    """Says the path; ``/echo`` what it was told, ``/stream`` in parts; ``/fault``, ``/wait``."""

    def __init__(self) -> None:
        self.gone = 0
        self.closed = 0
        self.seen: list[str] = []

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        self.seen.append(f"{scope.method} {scope.path}")
        text = [("content-type", "text/plain")]
        if scope.path == "/stream":
            await self._stream(proto)
        elif scope.path == "/fault":
            proto.response_stream(200, text)
            raise RuntimeError
        elif scope.path == "/large":
            proto.response_bytes(200, text, bytes(LARGE_BYTES))
        elif scope.path == "/wait":
            await proto.client_disconnect()
            self.gone += 1
        elif scope.path == "/echo":
            try:
                body = b"".join([part async for part in proto])
            except ProtocolClosed:
                self.closed += 1
                return
            proto.response_bytes(200, text, b"%d bytes" % len(body))
        else:
            proto.response_bytes(200, text, scope.path.encode())

    async def _stream(self, proto: HTTPProtocol) -> None:
        stream = proto.response_stream(200, [("content-type", "text/plain")])
        try:
            for i in range(3):
                await stream.send_bytes(b"part %d\n" % i)
                await asyncio.sleep(0)
        except ProtocolClosed:
            self.closed += 1


@asynccontextmanager
async def serving(
    header_s: int = 30, header_bytes_max: int = 4096, connections_max: int = 100
) -> AsyncGenerator[tuple[App, int]]:
    app = App()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        listen = Listen(
            host="127.0.0.1",
            port=holder.getsockname()[1],
            header_s=header_s,
            header_bytes_max=header_bytes_max,
            connections_max=connections_max,
        )
        server = Server(app, listen)
        task = asyncio.create_task(server.serve())
        await asyncio.sleep(0.05)
        yield app, listen.port
        server.stop()
        await asyncio.wait_for(task, 5)
        assert not server.connections


async def talk(port: int, *parts: bytes, wait_s: float = 3) -> bytes:
    """Send parts, a moment apart, and read until the other side ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.02)
    try:
        return await asyncio.wait_for(reader.read(), wait_s)
    finally:
        writer.close()


def statuses(answers: bytes) -> list[int]:
    return [int(each.split(b" ", 1)[0]) for each in answers.split(b"HTTP/1.1 ")[1:]]


async def test_requests_sent_ahead_are_answered_in_turn():
    async with serving() as (app, port):
        answers = await talk(port, ONE + ONE.replace(b"one", b"two") + BYE)
        assert statuses(answers) == [200, 200, 200]
        assert [answers.count(each) for each in (b"/one", b"/two", b"/bye")] == [1, 1, 1]
        assert app.seen == ["GET /one", "GET /two", "GET /bye"]


@pytest.mark.parametrize("cut", range(1, len(ONE + BYE), 7))
async def test_a_request_may_come_in_pieces(cut):
    async with serving() as (_, port):
        whole = ONE + BYE
        assert statuses(await talk(port, whole[:cut], whole[cut:])) == [200, 200]


REFUSED = [
    # what is sent, statuses
    (b"nonsense\r\n\r\n", [400]),
    (b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    (b"GET / HTTP/1.1\r\nhost : here\r\n\r\n", [400]),
    (b"GET / HTTP/1.1\r\nhost: a\r\n b: c\r\n\r\n", [400]),
    (POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc", [400]),
    (POST + b"content-length: +2\r\n\r\nab", [400]),
    (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    (POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [400]),
    (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", [400]),
    (POST + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", [400]),
    (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 101 + b"\r\n", [431]),
    (b"GET / HTTP/1.1\r\nx: " + b"y" * 5000 + b"\r\n\r\n", [431]),
    (b"GET /" + b"y" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [431]),
    (ONE + b"nonsense\r\n\r\n", [200]),
]


@pytest.mark.parametrize(("sent", "expected"), REFUSED)
async def test_refused(sent, expected):
    async with serving() as (app, port):
        half = len(sent) // 2
        assert statuses(await talk(port, sent)) == expected
        assert statuses(await talk(port, sent[:half], sent[half:])) == expected
        assert all(each == "POST /echo" or expected == [200] for each in app.seen)


async def test_a_head_without_an_end_is_bounded():
    async with serving() as (app, port):
        assert statuses(await talk(port, b"GET / HTTP/1.1\r\nx: ", *[b"y" * 2000] * 4)) == [431]
        assert not app.seen


async def test_a_slow_head_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(listening, "LOOK_S", 0.05)
    async with serving(header_s=0) as (app, port):
        assert await talk(port, b"GET / HTTP/1.1\r\n") == b""
        assert not app.seen


async def test_idle_connections_end(monkeypatch):
    monkeypatch.setattr(listening, "LOOK_S", 0.05)
    monkeypatch.setattr(connections, "IDLE_S", 0.1)
    async with serving() as (_, port):
        assert statuses(await talk(port, ONE)) == [200]


@pytest.mark.parametrize("reads", [True, False])
async def test_who_reads_slowly_reads(monkeypatch, reads):
    """A caller is cut off that takes nothing of what waits for it, not one that takes its time."""
    monkeypatch.setattr(listening, "LOOK_S", 0.05)
    monkeypatch.setattr(connections, "UNREAD_S", 0.3)
    got = 0
    async with serving() as (_, port):
        loop = asyncio.get_running_loop()
        with socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            caller.settimeout(0)
            await loop.sock_connect(caller, ("127.0.0.1", port))
            await loop.sock_sendall(caller, b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
            while reads and got < LARGE_BYTES:
                got += len(await loop.sock_recv(caller, LARGE_BYTES // 16))
                await asyncio.sleep(0.02)
            await asyncio.sleep(0 if reads else 0.8)
            with contextlib.suppress(ConnectionError):
                while not reads and (part := await loop.sock_recv(caller, 1 << 20)):
                    got += len(part)
    assert (got >= LARGE_BYTES) is reads


async def test_who_comes_with_many_is_let_in_with_them():
    async with serving() as (app, port):
        callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for each in callers:
            each.sendall(ONE)
        for _ in range(10):
            await asyncio.sleep(0)
        for each in callers:
            each.close()
        assert len(app.seen) == 50


async def test_more_connections_than_there_is_room_for():
    async with serving(connections_max=1) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.02)
        assert statuses(await talk(port)) == [503]
        writer.close()


BODIES = [
    (POST + b"connection: close\r\ncontent-length: 3\r\n\r\n", b"abc", b"3 bytes"),
    (POST + b"connection: close\r\ncontent-length: 0\r\n\r\n", b"", b"0 bytes"),
    (POST + b"connection: close\r\n\r\n", b"", b"0 bytes"),
    (
        POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        b"2\r\nab\r\n3\r\ncde\r\n0\r\ntrailer: x\r\n\r\n",
        b"5 bytes",
    ),
    (
        POST + b"connection: close\r\ncontent-length: 3000000\r\n\r\n",
        b"x" * 3_000_000,
        b"3000000 bytes",
    ),
]


@pytest.mark.parametrize(("head", "body", "told"), BODIES)
async def test_bodies(head, body, told):
    async with serving() as (_, port):
        assert (await talk(port, head, body)).endswith(told)
        assert (await talk(port, head + body)).endswith(told)


async def test_who_asks_whether_to_go_on_is_told():
    async with serving() as (_, port):
        head = POST + b"connection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
        assert statuses(await talk(port, head, b"abc")) == [100, 200]


async def test_a_stream_is_chunked_and_ends():
    async with serving() as (_, port):
        asked = b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n"
        answers = await talk(port, asked + BYE)
        assert statuses(answers) == [200, 200]
        assert b"\r\n7\r\npart 2\n\r\n0\r\n\r\n" in answers
        old = await talk(port, b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n")
        assert old.endswith(b"part 0\npart 1\npart 2\n")
        assert b"chunked" not in old


async def test_a_head_is_asked_for_alone():
    async with serving() as (_, port):
        answer = await talk(port, BYE.replace(b"GET", b"HEAD"))
        assert answer.endswith(b"\r\n\r\n")
        assert b"content-length: 4" in answer


async def test_a_fault_in_a_stream_does_not_look_like_its_end():
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, told: faults.append(repr(told.get("exception"))))
    async with serving() as (_, port):
        answer = await talk(port, b"GET /fault HTTP/1.1\r\n" + HOST + b"\r\n")
        assert not answer.endswith(b"0\r\n\r\n")
    gc.collect()
    assert faults == ["RuntimeError()"]


async def test_what_is_around_a_body_is_bounded():
    async with serving() as (app, port):
        head = POST + b"transfer-encoding: chunked\r\n\r\n1;"
        assert statuses(await talk(port, head, *[b"x" * 1000] * 5)) == [431]
        assert app.closed == 1


async def test_callers_that_hang_up():
    async with serving() as (app, port):
        for sent in (
            b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n",
            POST + b"content-length: 9\r\n\r\n",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await asyncio.sleep(0.05)
            writer.close()
        await asyncio.sleep(0.05)
        assert (app.gone, app.closed) == (1, 1)


async def test_another_protocol_is_not_spoken():
    async with serving() as (_, port):
        asked = ONE[:-2] + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"
        assert statuses(await talk(port, asked, b"PRI * HTTP/2.0\r\n\r\n")) == [200]
