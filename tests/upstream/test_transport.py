"""The transport over real sockets, and the contract that the echo keeps as well."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from steelyard.upstream.echo import EchoTransport
from steelyard.upstream.transport import (
    HttpTransport,
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

ASK = Request("/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"a b"}]}')
LIMITS = Limits(connect_s=0.3, first_byte_s=0.3, answer_bytes_max=1000)
EVENTS = b"data: 1\n\ndata: 2\n\n"

FAULTS: dict[str, tuple[Script, Kind]] = {
    "closed": (raw(b""), Kind.BROKEN),
    "reset": (raw_then_reset(b"HTTP/1.1 200 OK\r\n"), Kind.BROKEN),
    "half": (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), Kind.BROKEN),
    "torn": (raw(stream("1", end=False)), Kind.BROKEN),
    "no http": (raw(b"220 smtp ready\r\n\r\n"), Kind.INVALID),
    "header bomb": (raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000), Kind.INVALID),
    "silent": (upstreams.silence, Kind.TIMEOUT),
    "slow head": (upstreams.dripping(b"HTTP/1.1 200 OK\r\n" + b"x" * 99, 0.02), Kind.TIMEOUT),
    "slow body": (
        in_turn(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", *[b""] * 9),
        Kind.TIMEOUT,
    ),
    "too large": (answer("200 OK", b"x" * 1001), Kind.TOO_LARGE),
}


@asynccontextmanager
async def to(url: str, socket_path: Path | None = None) -> AsyncGenerator[HttpTransport]:
    transport = HttpTransport(url, "sk-key", LIMITS, socket_path)
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


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_has_one_kind(name):
    script, kind = FAULTS[name]
    with upstreams.serving({"x": script}) as upstream:
        async with to(upstream.url("x")) as transport:
            with pytest.raises(UpstreamError) as caught:
                await whole(transport)
    assert caught.value.kind is kind
    assert str(caught.value).startswith(kind.value)
    assert kind is Kind.TOO_LARGE or caught.value.__cause__ is not None


async def test_nobody_there():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with to(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1") as transport:
            with pytest.raises(UpstreamError) as caught:
                await transport.open(ASK)
    assert caught.value.kind is Kind.UNREACHABLE


async def test_no_such_socket(tmp_path):
    async with to("http://engine/v1", tmp_path / "none.sock") as transport:
        with pytest.raises(UpstreamError) as caught:
            await transport.open(ASK)
    assert caught.value.kind is Kind.UNREACHABLE


async def test_what_is_sent_and_what_comes_back():
    with upstreams.serving({"x": answer("429 Too Many", b"slow", "Retry-After: 3")}) as upstream:
        async with to(upstream.url("x") + "/") as transport:
            reply = await transport.open(ASK)
            assert (reply.status, reply.header("retry-after")) == (429, "3")
            assert reply.header("x-none") == ""
            assert await read_whole(reply) == b"slow"
        (asked,) = upstream.asked["x"]
    assert asked.path == "/x/v1/chat/completions"
    assert asked.body == ASK.body
    assert asked.headers["authorization"] == "bearer sk-key"
    assert asked.headers["accept-encoding"] == "identity"
    assert "cookie" not in asked.headers


async def test_a_redirect_is_an_answer():
    moved = answer("307 Moved", b"", "location: http://127.0.0.1:9/", "set-cookie: a=b")
    with upstreams.serving({"x": moved}) as upstream:
        async with to(upstream.url("x")) as transport:
            reply = await transport.open(ASK)
            assert reply.status == 307
            reply.close()


async def test_closing_a_reply_cancels_the_upstream():
    with upstreams.serving({"x": upstreams.endless(0.01, "1", "2")}) as upstream:
        async with to(upstream.url("x")) as transport:
            reply = await transport.open(ASK)
            assert await reply.read()
            reply.close()
            assert await asyncio.to_thread(upstream.hung_up["x"].wait, 5)


async def test_giving_up_cancels_the_upstream():
    with upstreams.serving({"x": upstreams.silence}) as upstream:
        async with to(upstream.url("x")) as transport:
            call = asyncio.create_task(transport.open(ASK))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(upstream.hung_up["x"].wait, 5)


def test_over_a_unix_socket(tmp_path):
    path = tmp_path / "engine.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            answer("200 OK", b"over a socket")(connection, threading.Event())

    thread = threading.Thread(target=serve)
    thread.start()

    async def ask() -> bytes:
        async with to("http://engine/v1", path) as transport:
            return await whole(transport)

    assert asyncio.run(ask()) == b"over a socket"
    thread.join()
    server.close()


Made = AsyncIterator[Transport]


@pytest.fixture(params=["echo", "http"])
async def transport(request) -> Made:
    """Each kind of transport, in front of an echo."""
    if request.param == "echo":
        yield EchoTransport(FixedClock())
        return
    said = await EchoTransport(FixedClock()).open(ASK)
    body = await read_whole(said)
    with upstreams.serving({"x": answer("200 OK", body)}) as upstream:
        async with to(upstream.url("x")) as made:
            yield made


async def test_contract(transport: Transport):
    reply = await transport.open(ASK)
    assert reply.status == 200
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-none") == ""
    body = await read_whole(reply)
    assert msgspec.json.decode(body)["choices"][0]["message"]["content"] == "a b"
    assert await reply.read() == b""
    reply.close()
    reply.close()
