"""TLS with one's own authority, proxies, and HTTP/2: each client over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from granian.constants import HTTPModes
from granian.server import embed

from steelyard.upstream.client import Client
from steelyard.upstream.connect import connect, trust
from steelyard.upstream.library import LibraryClient
from steelyard.upstream.transport import Kind, Limits, Request, UpstreamError, read_whole
from tests.fixtures import upstreams
from tests.fixtures.upstreams import kept

ASK = Request("/chat/completions", b"{}", (), "sk-key")
LIMITS = Limits(connect_s=1, first_byte_s=1, between_s=1)
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Tls(NamedTuple):
    """An authority, as a file; servers that it vouches for, and one for whom it did once."""

    ca_file: Path
    good: ssl.SSLContext
    expired: ssl.SSLContext
    other_name: ssl.SSLContext
    cert: Path
    key: Path


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))

    def server(*names: str, **kwargs: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, **kwargs).configure_cert(context)
        return context

    leaf = authority.issue_cert("127.0.0.1", "localhost")
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    for part in leaf.cert_chain_pems:
        part.write_to_path(str(folder / "cert.pem"), append=True)
    return Tls(
        folder / "ca.pem",
        server("127.0.0.1"),
        server("127.0.0.1", not_before=PAST, not_after=PAST + dt.timedelta(days=1)),
        server("other.example"),
        folder / "cert.pem",
        folder / "key.pem",
    )


Make = Callable[[str, Path | None], Client | LibraryClient]


@pytest.fixture(params=["thin", "library"])
def make(request) -> Make:
    if request.param == "thin":
        return lambda url, ca_file: Client(url, LIMITS, trust(ca_file))
    return lambda url, ca_file: LibraryClient(url, LIMITS, ca_file=ca_file)


async def ask(client: Any) -> bytes:
    try:
        reply = await client.open(ASK)
        try:
            return await read_whole(reply)
        finally:
            reply.close()
    finally:
        await client.aclose()


@pytest.mark.parametrize("server", ["good", "expired", "other_name", "nobody's"])
async def test_who_is_trusted(make: Make, tls: Tls, server: str):
    context = tls.good if server == "nobody's" else getattr(tls, server)
    ca_file = None if server == "nobody's" else tls.ca_file
    with upstreams.serving({"x": kept(b"secret", 2)}, context) as upstream:
        client = make(upstream.url("x"), ca_file)
        if server == "good":
            assert upstream.url("x").startswith("https:")
            assert await ask(client) == b"secret"
            return
        with pytest.raises(UpstreamError) as caught:
            await ask(client)
    assert caught.value.kind is Kind.UNREACHABLE
    assert "x" not in upstream.asked


async def test_a_connection_over_tls_is_used_again(make: Make, tls: Tls):
    with upstreams.serving({"x": kept(b"secret", 2)}, tls.good) as upstream:
        client = make(upstream.url("x"), tls.ca_file)
        for _ in range(2):
            assert await read_whole(await client.open(ASK)) == b"secret"
        await client.aclose()
        assert upstream.connections == 1


@asynccontextmanager
async def proxy(status: str = "200 OK") -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A proxy of a few lines, and the first lines that it was sent."""
    seen: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.split(b"\r\n")[0])
        logins = [line for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-")]
        seen.extend(each.partition(b": ")[2] for each in logins)
        method, target, _ = seen[0].decode().split()
        if status != "200 OK":
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
            writer.close()
            return
        where = target if method == "CONNECT" else target.split("/")[2]
        host, port = where.split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            far_writer.write(head.replace(target.encode(), path.encode(), 1))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}", seen
    finally:
        server.close()


async def test_through_a_proxy_over_tls(tls: Tls):
    with upstreams.serving({"x": kept(b"far", 1)}, tls.good) as upstream:
        url = upstream.url("x")
        async with proxy() as (way, seen):
            client = connect(url, LIMITS, ca_file=tls.ca_file, proxy=way)
            assert await ask(client) == b"far"
        assert seen == [f"CONNECT {url.split('/')[2]} HTTP/1.1".encode()]


async def test_through_a_proxy_in_the_clear():
    with upstreams.serving({"x": kept(b"far", 1)}) as upstream:
        async with proxy() as (way, seen):
            assert await ask(connect(upstream.url("x"), LIMITS, proxy=way)) == b"far"
        assert seen == [f"POST {upstream.url('x')}/chat/completions HTTP/1.1".encode()]


@pytest.mark.parametrize("secure", [True, False])
async def test_a_proxy_that_wants_to_know_who_comes(tls: Tls, secure: bool):
    with upstreams.serving({"x": kept(b"far", 1)}, tls.good if secure else None) as upstream:
        async with proxy() as (way, seen):
            url, ca_file = upstream.url("x"), tls.ca_file
            client = connect(url, LIMITS, ca_file=ca_file, proxy=way, proxy_login="me:pass:word")
            assert await ask(client) == b"far"
        assert seen[1:] == [b"Basic " + base64.b64encode(b"me:pass:word")]
        assert "proxy-authorization" not in upstream.asked["x"][0].headers or not secure


async def test_a_proxy_that_refuses(tls: Tls):
    with upstreams.serving({"x": kept(b"far", 1)}, tls.good) as upstream:
        async with proxy("403 No") as (way, _):
            client = connect(upstream.url("x"), LIMITS, ca_file=tls.ca_file, proxy=way)
            with pytest.raises(UpstreamError) as caught:
                await ask(client)
    assert caught.value.kind is Kind.UNREACHABLE


async def test_the_environment_chooses_no_proxy(make: Make, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with upstreams.serving({"x": kept(b"near", 1)}) as upstream:
        assert await ask(make(upstream.url("x"), None)) == b"near"


async def application(scope: Any, protocol: Any) -> None:
    """Say in which version it was asked, and stream without an end where it is told to."""
    headers = [("content-type", "text/event-stream")]
    if scope.path.endswith("/endless"):
        out = protocol.response_stream(200, headers)
        while True:
            await out.send_bytes(b"data: 1\n\n")
            await asyncio.sleep(0.01)
    body = await protocol()
    key = scope.headers.get("authorization")
    protocol.response_bytes(200, headers, f"{scope.http_version} {key} {body.decode()}".encode())


@pytest.fixture
async def h2(tls: Tls) -> AsyncIterator[str]:
    """The URL of a server that offers HTTP/2 alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = embed.Server(
        application,
        port=port,
        http=HTTPModes.http2,
        websockets=False,
        ssl_cert=tls.cert,
        ssl_key=tls.key,
        log_enabled=False,
    )
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.01)
    yield f"https://127.0.0.1:{port}/v1"
    server.stop()
    await task


async def test_over_http2(tls: Tls, h2: str):
    client = connect(h2, LIMITS, ca_file=tls.ca_file, http2=True)
    asks = [client.open(Request("/x", b"%d" % n, (), "sk-key")) for n in range(20)]
    replies = await asyncio.gather(*asks)
    assert [reply.status for reply in replies] == [200] * 20
    bodies = [await read_whole(reply) for reply in replies]
    assert bodies == [b"2 Bearer sk-key %d" % n for n in range(20)]
    reply = await client.open(Request("/endless", b""))
    assert (await reply.read()).startswith(b"data: 1\n\n")
    reply.close()
    await client.aclose()


async def test_an_upstream_without_http2_is_asked_as_ever(tls: Tls):
    with upstreams.serving({"x": kept(b"old", 1)}, tls.good) as upstream:
        client = connect(upstream.url("x"), LIMITS, ca_file=tls.ca_file, http2=True)
        assert await ask(client) == b"old"


def test_an_authority_that_is_no_certificate(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    for http2 in (False, True):
        with pytest.raises((OSError, ValueError)):
            connect("https://127.0.0.1/v1", LIMITS, ca_file=file, http2=http2)
