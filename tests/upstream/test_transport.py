"""One contract, kept by every transport over real sockets: the two clients, and the echo."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from steelyard.upstream.client import Client
from steelyard.upstream.echo import EchoTransport
from steelyard.upstream.library import LibraryClient
from steelyard.upstream.transport import (
    Kind,
    Limits,
    Request,
    Transport,
    UpstreamError,
    read_whole,
)
from steelyard.values.clock import FixedClock
from tests.fixtures import upstreams
from tests.fixtures.upstreams import Script, answer, in_turn, raw, raw_then_reset, stream

BODY = b'{"model":"m","messages":[{"role":"user","content":"a b"}]}'
ASK = Request("/chat/completions", BODY, (("traceparent", "00-1-2-3"),), "sk-key")
LIMITS = Limits(connect_s=0.3, first_byte_s=0.3, between_s=0.3, answer_bytes_max=1000)

CLIENTS: dict[str, Callable[[str, Limits], Transport]] = {
    "thin": lambda url, limits: Client(url, limits, None),
    "library": LibraryClient,
}

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

FAULTS: dict[str, tuple[Script, Kind]] = {
    "closed": (raw(b""), Kind.BROKEN),
    "reset": (raw_then_reset(OK), Kind.BROKEN),
    "half": (raw(OK + b"content-length: 9\r\n\r\nhalf"), Kind.BROKEN),
    "torn": (raw(stream("1", end=False)), Kind.BROKEN),
    "no http": (raw(b"220 smtp ready\r\n\r\n"), Kind.INVALID),
    "header bomb": (raw(OK + b"x: " + b"y" * 1_000_000), Kind.INVALID),
    "two lengths": (raw(OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nab"), Kind.INVALID),
    "signed length": (raw(OK + b"content-length: +2\r\n\r\nab"), Kind.INVALID),
    "silent": (upstreams.silence, Kind.TIMEOUT),
    "slow head": (upstreams.dripping(OK + b"x" * 99, 0.02), Kind.TIMEOUT),
    "no first byte": (in_turn(CHUNKED, *[b""] * 9), Kind.TIMEOUT),
    "slow body": (in_turn(CHUNKED + b"1\r\nx\r\n", *[b""] * 9), Kind.TIMEOUT),
    "too large": (answer("200 OK", b"x" * 1001), Kind.TOO_LARGE),
}

STRICT: dict[str, tuple[Script, Kind]] = {
    "both lengths": (
        raw(OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        Kind.INVALID,
    ),
    "no chunk": (raw(CHUNKED + b"zz\r\nab\r\n0\r\n\r\n"), Kind.INVALID),
    "folded": (raw(OK + b"x: y\n content-length: 2\r\n\r\nab"), Kind.INVALID),
    "endless trailer": (raw(CHUNKED + b"0\r\nx: " + b"y" * 1_000_000), Kind.INVALID),
    "endless interims": (
        raw(b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" * 50_000),
        Kind.INVALID,
    ),
    "switching": (
        raw(b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabcd"),
        Kind.INVALID,
    ),
}
"""What the thin client refuses, and the library takes or has another word for."""

WHOLE: dict[str, tuple[Script, bytes]] = {
    "just small enough": (answer("200 OK", b"x" * 1000), b"x" * 1000),
    "until it closes": (raw(OK + b"\r\nabcd"), b"abcd"),
    "after an interim": (
        raw(b"HTTP/1.1 103 E\r\nlink: x\r\n\r\n" + OK + b"content-length: 2\r\n\r\nab"),
        b"ab",
    ),
    "no content": (raw(b"HTTP/1.1 204 No\r\n\r\n"), b""),
    "longer than it says": (raw(OK + b"content-length: 2\r\n\r\nabcd"), b"ab"),
    "chunks with extensions": (raw(CHUNKED + b"2;a=b\r\nab\r\n0\r\nx: y\r\n\r\n"), b"ab"),
}


@pytest.fixture(params=CLIENTS)
def make(request) -> Callable[[str, Limits], Transport]:
    return CLIENTS[request.param]


@asynccontextmanager
async def to(make: Callable[..., Transport], url: str) -> AsyncGenerator[Transport]:
    transport = make(url, LIMITS)
    try:
        yield transport
    finally:
        await transport.aclose()


async def whole(transport: Transport) -> bytes:
    reply = await transport.open(ASK)
    try:
        return await read_whole(reply)
    finally:
        reply.close()


async def fault(make: Callable[..., Transport], script: Script) -> Kind:
    with upstreams.serving({"x": script}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            with pytest.raises(UpstreamError) as caught:
                await whole(transport)
    assert str(caught.value).startswith(caught.value.kind.value)
    assert "sk-key" not in str(caught.value)
    return caught.value.kind


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_has_one_kind(make, name):
    script, kind = FAULTS[name]
    assert await fault(make, script) is kind


@pytest.mark.parametrize("name", STRICT)
async def test_the_thin_client_is_strict(name):
    script, kind = STRICT[name]
    assert await fault(CLIENTS["thin"], script) is kind


@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_whole(make, name):
    script, body = WHOLE[name]
    with upstreams.serving({"x": script}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            assert await whole(transport) == body


async def test_nobody_there(make):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with to(make, f"http://127.0.0.1:{nobody.getsockname()[1]}/v1") as transport:
            with pytest.raises(UpstreamError) as caught:
                await transport.open(ASK)
    assert caught.value.kind is Kind.UNREACHABLE


async def test_no_such_name(make):
    async with to(make, f"http://{'a' * 70}.invalid/v1") as transport:
        with pytest.raises(UpstreamError) as caught:
            await transport.open(ASK)
    assert caught.value.kind is Kind.UNREACHABLE


async def test_what_is_sent_and_what_comes_back(make):
    with upstreams.serving({"x": answer("429 Too Many", b"slow", "Retry-After: 3")}) as upstream:
        async with to(make, upstream.url("x") + "/") as transport:
            reply = await transport.open(ASK)
            assert (reply.status, reply.header("retry-after")) == (429, "3")
            assert reply.header("x-none") == ""
            assert await read_whole(reply) == b"slow"
            host = upstream.url("x").split("/")[2]
        (asked,) = upstream.asked["x"]
    assert asked.path == "/x/v1/chat/completions"
    assert asked.body == ASK.body
    assert asked.headers["authorization"] == "bearer sk-key"
    assert asked.headers["traceparent"] == "00-1-2-3"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["host"] == host
    assert "cookie" not in asked.headers


async def test_a_redirect_is_an_answer(make):
    moved = answer("307 Moved", b"", "location: http://127.0.0.1:9/", "set-cookie: a=b")
    with upstreams.serving({"x": moved}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            reply = await transport.open(ASK)
            assert reply.status == 307
            reply.close()


async def test_what_came_before_a_fault_is_read(make):
    events = in_turn(stream("1", end=False), b"")
    with upstreams.serving({"x": events}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            reply = await transport.open(ASK)
            assert await reply.read() == b"data: 1\n\n"
            with pytest.raises(UpstreamError):
                await reply.read()


async def test_closing_a_reply_cancels_the_upstream(make):
    with upstreams.serving({"x": upstreams.endless(0.01, "1", "2")}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            reply = await transport.open(ASK)
            assert await reply.read()
            reply.close()
            assert await asyncio.to_thread(upstream.hung_up["x"].wait, 5)
            with pytest.raises(UpstreamError):
                await reply.read()


async def test_giving_up_cancels_the_upstream(make):
    with upstreams.serving({"x": upstreams.silence}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            call = asyncio.create_task(transport.open(ASK))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            del call
            assert await asyncio.to_thread(upstream.hung_up["x"].wait, 5)


async def test_giving_up_a_read_cancels_the_upstream(make):
    with upstreams.serving({"x": upstreams.then_silence(stream("1", end=False))}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            reply = await transport.open(ASK)
            assert await reply.read()
            reading = asyncio.create_task(reply.read())
            await asyncio.sleep(0.05)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            reply.close()
            assert await asyncio.to_thread(upstream.hung_up["x"].wait, 5)


async def test_a_caller_that_reads_slowly_slows_the_upstream(make):
    flood = upstreams.Flood(64 << 20)
    with upstreams.serving({"x": flood}) as upstream:
        transport = make(upstream.url("x"), Limits(between_s=5))
        reply = await transport.open(ASK)
        await asyncio.to_thread(flood.stopped.wait, 5)
        assert flood.sent < 16 << 20
        size = 0
        while part := await reply.read():
            size += len(part)
        assert size == 64 << 20
        reply.close()
        await transport.aclose()


async def test_connections_are_used_again(make):
    with upstreams.serving({"x": upstreams.kept(b"one", 3)}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            for _ in range(3):
                assert await whole(transport) == b"one"
        assert upstream.connections == 1


async def test_a_connection_closed_while_unused_is_not_missed(make):
    with upstreams.serving({"x": upstreams.kept(b"one", 1)}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            for _ in range(3):
                assert await whole(transport) == b"one"
                await asyncio.sleep(0.05)
        assert upstream.connections == 3


async def test_more_than_an_answer_does_not_answer_the_next_call(make):
    poison = upstreams.kept(b"one", 1, after=OK + b"content-length: 4\r\n\r\nevil")
    with upstreams.serving({"x": poison}) as upstream:
        async with to(make, upstream.url("x")) as transport:
            for _ in range(2):
                assert await whole(transport) == b"one"


Made = AsyncIterator[Transport]


@pytest.fixture(params=["echo", *CLIENTS])
async def transport(request) -> Made:
    """Each kind of transport, in front of an echo."""
    if request.param == "echo":
        yield EchoTransport(FixedClock())
        return
    said = await EchoTransport(FixedClock()).open(ASK)
    body = await read_whole(said)
    with upstreams.serving({"x": answer("200 OK", body)}) as upstream:
        async with to(CLIENTS[request.param], upstream.url("x")) as made:
            yield made


async def test_contract(transport: Transport):
    reply = await transport.open(ASK)
    assert reply.status == 200
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-none") == ""
    body = await read_whole(reply)
    said: Any = msgspec.json.decode(body)
    assert said["choices"][0]["message"]["content"] == "a b"
    assert await reply.read() == b""
    reply.close()
    reply.close()


def test_a_request_never_shows_its_key():
    assert "sk-key" not in repr(ASK)


def test_over_a_unix_socket(tmp_path):
    path = tmp_path / "engine.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                assert b"connection: close" in connection.recv(65536)
                upstreams.kept(b"over a socket", 1)(connection, threading.Event())

    thread = threading.Thread(target=serve)
    thread.start()

    async def ask() -> None:
        client = Client("http://engine/v1", LIMITS, None, path)
        for _ in range(2):
            assert await whole(client) == b"over a socket"
        await client.aclose()

    asyncio.run(ask())
    thread.join()
    server.close()


async def test_no_such_socket(tmp_path):
    client = Client("http://engine/v1", LIMITS, None, tmp_path / "none.sock")
    with pytest.raises(UpstreamError) as caught:
        await client.open(ASK)
    assert caught.value.kind is Kind.UNREACHABLE
