"""What the thin client does with its connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from steelyard.upstream import client as thin
from steelyard.upstream.client import Client
from steelyard.upstream.connection import Answer, Connection
from steelyard.upstream.transport import Kind, Limits, Request, UpstreamError, read_whole
from tests.fixtures import upstreams
from tests.fixtures.upstreams import Script, kept, stream

ASK = Request("/chat/completions", b"{}")
LIMITS = Limits(connect_s=1, first_byte_s=0.5, between_s=0.5)


@asynccontextmanager
async def to(url: str, limits: Limits = LIMITS) -> AsyncGenerator[Client]:
    client = Client(url, limits, None)
    try:
        yield client
    finally:
        await client.aclose()


async def whole(client: Client, ask: Request = ASK) -> bytes:
    return await read_whole(await client.open(ask))


def unanswered(body: bytes, after_s: float) -> Script:
    """One answer; the next request is read, and the connection closed a while later."""

    def script(connection: socket.socket, hung_up: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        if connection.recv(65536):
            hung_up.wait(after_s)

    return script


async def test_a_stale_connection_is_asked_again_on_a_new_one():
    with upstreams.serving({"x": unanswered(b"one", 0)}) as upstream:
        async with to(upstream.url("x")) as client:
            assert [await whole(client) for _ in range(3)] == [b"one"] * 3
        assert upstream.connections == 3


async def test_an_upstream_that_dies_on_a_call_is_not_asked_twice(monkeypatch):
    monkeypatch.setattr("steelyard.upstream.connection.STALE_S", 0.05)
    with upstreams.serving({"x": unanswered(b"one", 0.2)}) as upstream:
        async with to(upstream.url("x")) as client:
            assert await whole(client) == b"one"
            with pytest.raises(UpstreamError) as caught:
                await whole(client)
        assert caught.value.kind is Kind.BROKEN
        assert upstream.connections == 1


async def test_a_new_connection_that_closes_is_not_asked_again():
    with upstreams.serving({"x": upstreams.raw(b"")}) as upstream:
        async with to(upstream.url("x")) as client:
            with pytest.raises(UpstreamError):
                await whole(client)
        assert upstream.connections == 1


async def test_unused_connections_are_let_go(monkeypatch):
    monkeypatch.setattr(thin, "IDLE_S", 0.1)
    with upstreams.serving({"x": kept(b"one", 9)}) as upstream:
        async with to(upstream.url("x")) as client:
            await whole(client)
            await asyncio.sleep(0.3)
            assert not client.connections
            await whole(client)
        assert upstream.connections == 2


async def test_the_last_one_is_used_first():
    with upstreams.serving({"x": kept(b"one", 9)}) as upstream:
        async with to(upstream.url("x")) as client:
            replies = await asyncio.gather(*[client.open(ASK) for _ in range(3)])
            assert [await read_whole(reply) for reply in replies] == [b"one"] * 3
            last = client.idle[-1]
            for _ in range(3):
                await whole(client)
            assert client.idle[-1] is last
            assert len(client.idle) == 3
        assert upstream.connections == 3


async def test_connections_are_bounded():
    with upstreams.serving({"x": upstreams.silence}) as upstream:
        async with to(upstream.url("x"), Limits(connections_max=2)) as client:
            held = [asyncio.create_task(client.open(ASK)) for _ in range(2)]
            await asyncio.sleep(0.1)
            with pytest.raises(UpstreamError) as caught:
                await client.open(ASK)
            assert caught.value.kind is Kind.UNREACHABLE
            for call in held:
                call.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            await asyncio.sleep(0)
            assert not client.connections


async def test_an_address_that_does_not_answer_is_passed_over(monkeypatch):
    with upstreams.serving({"x": kept(b"one", 1)}) as upstream, socket.socket() as deaf:
        deaf.bind(("127.0.0.2", 0))
        deaf.listen(0)
        full = [socket.socket() for _ in range(3)]
        for each in full:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        url = upstream.url("x")
        port = int(url.split("/")[2].split(":")[1])
        loop = asyncio.get_running_loop()
        ours = loop.getaddrinfo

        async def found(host: str, port: int, **kwargs: int) -> list[object]:
            if host != "two.example":
                return [*await ours(host, port, **kwargs)]
            both = (deaf.getsockname(), ("127.0.0.1", port))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in both]

        monkeypatch.setattr(loop, "getaddrinfo", found)
        async with to(f"http://two.example:{port}/x/v1") as client:
            assert await whole(client) == b"one"
        for each in full:
            each.close()


async def test_a_read_at_once_is_one_part():
    many = stream(*[str(n) for n in range(500)])
    with upstreams.serving({"x": upstreams.raw(many)}) as upstream:
        async with to(upstream.url("x")) as client:
            reply = await client.open(ASK)
            parts = 0
            body = b""
            while part := await reply.read():
                parts += 1
                body += part
            assert body.count(b"data: ") == 500
            assert parts < 50


async def test_silence_is_measured_from_the_last_byte():
    with upstreams.serving({"x": upstreams.in_turn(stream("1", end=False), *_drops(9))}) as up:
        async with to(up.url("x"), Limits(first_byte_s=0.3, between_s=0.3)) as client:
            body = await whole(client)
    assert body.count(b"data: ") == 10


def _drops(count: int) -> list[bytes]:
    """Events that take longer together than any silence may, and the end."""
    event = b"9\r\ndata: x\n\n\r\n"
    return [event] * (count - 1) + [event + b"0\r\n\r\n"]


async def test_our_own_standstill_is_no_silence_of_the_upstream():
    """What came while we were busy is read before anybody is said to be late."""
    script = upstreams.in_turn(stream("1", end=False), *_drops(3))
    with upstreams.serving({"x": script}) as upstream:
        async with to(upstream.url("x"), Limits(first_byte_s=0.2, between_s=0.2)) as client:
            rest = asyncio.create_task(read_whole(await client.open(ASK)))
            await asyncio.sleep(0.02)
            time.sleep(0.5)  # noqa: ASYNC251 - the loop stands still
            assert (await rest).count(b"data: ") == 4


async def test_a_caller_that_does_not_read_is_no_silence_of_the_upstream():
    with upstreams.serving({"x": upstreams.raw(stream("1", "2"))}) as upstream:
        async with to(upstream.url("x"), Limits(first_byte_s=0.2, between_s=0.2)) as client:
            reply = await client.open(ASK)
            await asyncio.sleep(0.5)
            assert await read_whole(reply) == b"data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("taken", [True, False])
async def test_what_comes_while_somebody_waits_may_be_taken_at_once(taken):
    got = []

    def through(data: bytes) -> bool:
        got.append(data)
        return taken

    script = upstreams.in_turn(stream("1", end=False), *_drops(5))
    with upstreams.serving({"x": script}) as upstream:
        async with to(upstream.url("x")) as client:
            reply = await client.open(ASK)
            assert isinstance(reply, Answer)
            first = await reply.read()
            reply.through = through
            rest = await read_whole(reply)
            at_once = b"".join(got)
            assert (first + (at_once if taken else b"") + rest).count(b"data: ") == 6
            assert rest.startswith(at_once) or taken
            assert b"data: x" in at_once


async def test_a_large_body_is_sent_whole():
    body = bytes(8 << 20)
    with upstreams.serving({"x": kept(b"one", 1)}) as upstream:
        async with to(upstream.url("x"), Limits()) as client:
            assert await whole(client, Request("/x", body)) == b"one"
        assert upstream.asked["x"][0].body == body


@pytest.mark.parametrize("header", [("a", "b\r\nc: d"), ("a\nb", "c"), ("a", "b\0")])
async def test_no_header_is_smuggled(header):
    async with to("http://127.0.0.1:9/v1") as client:
        with pytest.raises(AssertionError):
            await client.open(Request("/x", b"", (header,)))
        with pytest.raises(AssertionError):
            await client.open(Request("/x", b"", (), f"sk-{header[1]}\n"))


async def test_nothing_is_left_behind():
    scripts = {
        "whole": upstreams.answer("200 OK", b"x"),
        "torn": upstreams.raw(stream("1", end=False)),
        "no": upstreams.raw(b"no http\r\n\r\n"),
        "endless": upstreams.endless(0.01, "1", "2"),
        "silent": upstreams.silence,
    }
    with upstreams.serving(scripts) as upstream:
        for name in scripts:
            async with to(upstream.url(name)) as client:
                await _ended(client)
                await asyncio.sleep(0.05)
                assert not client.waiting
                assert not client.connections
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Answer | Connection)]


async def _ended(client: Client) -> None:
    """Begin an answer, and leave it after its first part."""
    try:
        reply = await client.open(ASK)
        await reply.read()
        await asyncio.sleep(0.02)
        reply.close()
    except UpstreamError:
        return
