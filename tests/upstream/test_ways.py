"""TLS with one's own authority, proxies, and HTTP/2: each client over real sockets."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from steelyard.upstream.client import Client
from steelyard.upstream.connect import connect, trust
from steelyard.upstream.library import LibraryClient
from steelyard.upstream.transport import Kind, Limits, Request, UpstreamError, read_whole
from tests.fixtures import upstreams
from tests.fixtures.upstreams import kept
from tests.fixtures.ways import Tls, http2_server, proxy, tls_in

ASK = Request("/chat/completions", b"{}", (), "sk-key")
LIMITS = Limits(connect_s=1, first_byte_s=1, between_s=1)


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Tls:
    return tls_in(tmp_path_factory.mktemp("tls"))


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


@pytest.fixture
async def h2(tls: Tls) -> AsyncIterator[str]:
    async with http2_server(tls) as url:
        yield url


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
