"""The way to an upstream as a studio tells it: authority, proxy, HTTP/2, how long to wait."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import openai

from tests.edge.answers import whole
from tests.fixtures.gateway import Deployed, start, stop, write_studio
from tests.fixtures.upstreams import answer, serving, silence
from tests.fixtures.ways import http2_server, proxy, tls_in

HELLO: Any = [{"role": "user", "content": "good morning"}]
ANSWER = answer("200 OK", whole())


def said(client: openai.OpenAI, model: str) -> str | int:
    """The answer, or the status of a refusal."""
    try:
        made = client.chat.completions.create(model=model, messages=HELLO)
    except openai.APIStatusError as exc:
        return exc.status_code
    return made.choices[0].message.content or ""


async def test_each_deployment_has_its_own_way(tmp_path, monkeypatch):
    """Behind a proxy that wants a login, by an authority of the studio's own, over HTTP/2."""
    tls = tls_in(tmp_path)
    monkeypatch.setenv("PROXY_LOGIN", "me:pass:word")
    scripts = {"private": ANSWER, "proxied": ANSWER, "hurried": silence}
    with serving(scripts, tls.good) as upstream:
        async with proxy() as (way, seen), http2_server(tls) as h2:
            login = f'proxy = "{way}"\nproxy_login_env = "PROXY_LOGIN"'
            rows = [
                # the deployment, its upstream, what the file says of the way there, what comes back
                ("strange", upstream.url("private"), "", 502),
                ("private", upstream.url("private"), 'ca_file = "ca.pem"', "abcdef"),
                ("proxied", upstream.url("proxied"), 'ca_file = "ca.pem"\n' + login, "abcdef"),
                ("two", h2, 'ca_file = "ca.pem"\nhttp2 = true', "over HTTP/2"),
                ("hurried", upstream.url("hurried"), 'ca_file = "ca.pem"\nfirst_byte_s = 1', 504),
            ]
            write_studio(tmp_path, [Deployed(name, "openai", url) for name, url, _, _ in rows])
            main = tmp_path / "steelyard.toml"
            text = main.read_text("utf-8")
            for name, _, says, _ in rows:
                deployment = f'[[deployment]]\nid = "{name}"\n'
                assert deployment in text
                text = text.replace(deployment, f"{deployment}{says}\n")
            main.write_text(text, "utf-8")
            gateway = await asyncio.to_thread(start, tmp_path)
            try:
                with gateway.client() as client:
                    came = {name: await asyncio.to_thread(said, client, name) for name, *_ in rows}
            finally:
                await asyncio.to_thread(stop, gateway)
    assert came == {name: wanted for name, _, _, wanted in rows}
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert seen[1:] == [b"Basic " + base64.b64encode(b"me:pass:word")]
