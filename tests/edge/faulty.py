"""A stage on which everything goes wrong: a gateway, the table's upstreams, calls of them."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai

from tests.edge.answers import ANSWER_BYTES_MAX
from tests.edge.faults import AGAIN, SCRIPTS, TABLE, Again, Row
from tests.fixtures import upstreams
from tests.fixtures.gateway import SECRET, Deployed, Gateway, start, stop, write_studio
from tests.fixtures.upstreams import Upstream

TLS = Path(__file__).parents[1] / "data" / "tls"
HELLO: Any = [{"role": "user", "content": "twelve bytes"}]
HEADER_BYTES_MAX = 16_384
SETTINGS = f"""
first_byte_s = 2
connect_s = 2
total_s = 4
body_s = 2
answer_bytes_max = {ANSWER_BYTES_MAX}
header_bytes_max = {HEADER_BYTES_MAX}
"""

ROUTE = """
[[route]]
model = "{model}"
fallback = ["{fallback}"]
"""

PROBED = """
import asyncio, json, os, signal, sys
from pathlib import Path
from steelyard import worker

run = worker.run
desks = []

Desk = worker.Desk

def watched(*given, **named):
    desks.append(Desk(*given, **named))
    return desks[-1]

async def probed(*given):
    loop = asyncio.get_running_loop()

    def tell():
        status = Path("/proc/self/status").read_text()
        told = {
            "tasks": sorted(str(task.get_coro()) for task in asyncio.all_tasks()),
            "calls": [
                desk.in_flight + len(desk.watch) + sum(each.in_flight for each in seen.values())
                for desk in desks
                for seen in (desk.router.vitals,)
            ],
            # The loop holds /dev/null from its first connection on, for when files run out.
            "files": sum(
                os.path.realpath(each) != "/dev/null" for each in Path("/proc/self/fd").iterdir()
            ),
            "rss_kb": int(status.split("VmRSS:")[1].split()[0]),
        }
        path = given[0].studio.root / "told.json"
        path.with_suffix(".new").write_text(json.dumps(told))
        path.with_suffix(".new").rename(path)

    loop.add_signal_handler(signal.SIGUSR1, tell)
    return await run(*given)

worker.run, worker.Desk = probed, watched
sys.exit(worker.main(sys.argv[1:]))
"""
"""A worker that tells, when it is asked by a signal, what it holds."""


class Stage(NamedTuple):
    """A gateway, and the upstream that speaks in the clear."""

    gateway: Gateway
    upstream: Upstream


@contextmanager
def stage(folder: Path) -> Generator[Stage]:
    """A gateway with every row's upstream as long as it is needed."""
    certificates = {row.name: row.certificate for row in TABLE}
    kinds = {row.name: row.kind for row in TABLE}
    with ExitStack() as stack:
        by_certificate = {
            name: stack.enter_context(upstreams.serving(SCRIPTS, _tls(name)))
            for name in {None, *certificates.values()}
        }
        deployed = [
            Deployed(
                name,
                kinds.get(name, "openai"),
                by_certificate[certificates.get(name)].url(name),
                "upstream's-name",
            )
            for name in SCRIPTS
        ]
        nowhere = {"refused", "again-refused"}
        deployed += [Deployed(name, "openai", "http://127.0.0.1:9/v1") for name in nowhere]
        routes = (ROUTE.format(model=row.name, fallback=row.fallback) for row in AGAIN)
        write_studio(folder, deployed, SETTINGS + "".join(routes))
        trusted = {"SSL_CERT_FILE": str(TLS / "authority.pem")}
        started = start(folder, trusted, program=("-c", PROBED))
        stack.callback(stop, started)
        yield Stage(started, by_certificate[None])


def _tls(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem")
    return context


class Seen(NamedTuple):
    """What the official client gets."""

    status: int
    code: str | None
    text: str
    headers: Mapping[str, str]
    param: str | None = None
    message: str = ""


def call(gateway: Gateway, row: Row | Again) -> Seen:
    """Call what a row is about."""
    texts: list[str] = []
    with gateway.client() as client:
        create = client.chat.completions.with_streaming_response.create
        try:
            with create(model=row.name, messages=HELLO, stream=row.streamed) as response:
                code = None
                try:
                    texts += _said(response.parse(), streamed=row.streamed)
                except openai.APIError as exc:
                    code = exc.code
                return Seen(response.status_code, code, "".join(texts), response.headers)
        except openai.APIStatusError as exc:
            headers = exc.response.headers
            return Seen(exc.status_code, exc.code, "", headers, exc.param, exc.message)


def _said(parsed: Any, *, streamed: bool) -> Iterator[str]:
    if streamed:
        for part in parsed:
            yield from (choice.delta.content or "" for choice in part.choices)
    else:
        yield parsed.choices[0].message.content


def head(*lines: bytes) -> bytes:
    """The head of a call, with more lines."""
    first = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    more = b"".join(line + b"\r\n" for line in lines)
    return first + b"authorization: Bearer " + SECRET.encode() + b"\r\n" + more + b"\r\n"


def asking(model: str, *, streamed: bool = False) -> bytes:
    """The body of a call."""
    return json.dumps({"model": model, "messages": HELLO, "stream": streamed}).encode()


def sized(body: bytes) -> bytes:
    """A whole call."""
    return head(b"content-length: %d" % len(body)) + body


def send(gateway: Gateway, sent: bytes, wait_s: float = 5) -> socket.socket:
    """Open a connection and send this."""
    connection = socket.create_connection(gateway.address, timeout=wait_s)
    connection.sendall(sent)
    return connection


def tokens(meters: Mapping[str, int]) -> dict[str, int]:
    """The meters that are tokens."""
    return {name: units for name, units in meters.items() if name.endswith("_tokens")}
