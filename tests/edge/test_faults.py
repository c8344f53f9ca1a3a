"""What the caller gets, what is charged, what is cost: an upstream's faults over real sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

import openai
import pytest

from steelyard.values.usage import UsageRecord
from tests.edge.faults import ANSWER_BYTES_MAX, BILLED, PROMPT, SCRIPTS, TABLE, Row
from tests.fixtures import upstreams
from tests.fixtures.gateway import UPSTREAM_SECRET, Deployed, Gateway, running
from tests.fixtures.upstreams import Upstream

pytestmark = pytest.mark.xdist_group("faults")

HELLO: Any = [{"role": "user", "content": "twelve bytes"}]


@pytest.fixture(scope="module")
def upstream() -> Generator[Upstream]:
    with upstreams.serving(SCRIPTS) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(upstream, tmp_path_factory) -> Generator[Gateway]:
    nowhere = {"refused": "http://127.0.0.1:9/v1"}
    deployed = [
        Deployed(name, "openai", nowhere.get(name) or upstream.url(name), "upstream's-name")
        for name in [*SCRIPTS, *nowhere]
    ]
    settings = f"first_byte_s = 1\nconnect_s = 1\nanswer_bytes_max = {ANSWER_BYTES_MAX}"
    with running(tmp_path_factory.mktemp("faults"), deployed, settings) as started:
        yield started


class Seen(NamedTuple):
    """What the official client gets."""

    status: int
    code: str | None
    text: str
    headers: Mapping[str, str]
    param: str | None = None
    message: str = ""


def call(gateway: Gateway, row: Row) -> Seen:
    texts: list[str] = []
    with gateway.client() as client:
        create = client.chat.completions.with_streaming_response.create
        try:
            with create(model=row.name, messages=HELLO, stream=row.streamed) as response:
                code = None
                try:
                    texts += said(response.parse(), streamed=row.streamed)
                except openai.APIError as exc:
                    code = exc.code
                return Seen(response.status_code, code, "".join(texts), response.headers)
        except openai.APIStatusError as exc:
            headers = exc.response.headers
            return Seen(exc.status_code, exc.code, "", headers, exc.param, exc.message)


def said(parsed: Any, *, streamed: bool) -> Iterator[str]:
    if streamed:
        for part in parsed:
            yield from (choice.delta.content or "" for choice in part.choices)
    else:
        yield parsed.choices[0].message.content


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_fault(gateway: Gateway, row: Row):
    seen = call(gateway, row)
    assert (seen.status, seen.code) == (row.status, row.code)
    assert UPSTREAM_SECRET not in seen.message
    assert seen.headers.get("retry-after") == ("7" if row.status == 429 else None)
    assert seen.param == ("voice" if row.name == "bad-request" else None)
    record = gateway.record_of(seen.headers["x-request-id"])
    assert (record.outcome, record.status) == (row.outcome, row.status)
    assert record.error == (row.error or row.code)
    assert tokens(record.meters) == row.charged
    assert seen.text == ("abcdef" if row.charged else "")
    cost = row.charged if row.cost is None else row.cost
    assert tokens(record.meters if record.produced is None else record.produced) == cost
    assert ("requests" in record.meters) is (row.outcome == "completed")
    assert set(record.sources) == set(record.meters) | set(record.produced or {})
    if "input_tokens" in record.sources:
        told = row.charged == BILLED
        assert record.sources["input_tokens"] == ("upstream" if told else "estimated")


def tokens(meters: dict[str, int]) -> dict[str, int]:
    return {name: units for name, units in meters.items() if name.endswith("_tokens")}


def test_a_stream_that_lacks_its_end_gets_one(gateway: Gateway):
    with gateway.client() as client:
        create = client.chat.completions.with_streaming_response.create
        with create(model="stream-usage-without-done", messages=HELLO, stream=True) as response:
            assert response.read().endswith(b"data: [DONE]\n\n")


def test_what_the_upstream_is_asked(gateway: Gateway, upstream: Upstream):
    """Its own model's name and key; the caller's numbers digit for digit; usage in a stream."""
    numbers = b'{"temperature":0.10,"seed":123456789012345678901234567890,"x":[1e400,-0.0,1E2]}'
    body = b'{"model":"asked","messages":[{"role":"user","content":"a"}],' + numbers[1:]
    for sent in (body, body[:-1] + b',"stream":true,"stream_options":{"y":1.50}}'):
        with post(gateway, sent) as connection:
            assert connection.recv(4096)
    plain, streamed = upstream.asked["asked"]
    assert plain.path == "/asked/v1/chat/completions"
    assert plain.headers["authorization"] == f"bearer {UPSTREAM_SECRET}"
    assert plain.headers["content-type"] == "application/json"
    assert plain.fields["model"] == b'"upstream\'s-name"'
    assert numbers[1:-1] in plain.body
    assert "stream_options" not in plain.fields
    assert streamed.fields["stream_options"] == b'{"y":1.50,"include_usage":true}'


def post(gateway: Gateway, body: bytes) -> socket.socket:
    connection = socket.create_connection(gateway.address, timeout=5)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-of-acme\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def hang_up(gateway: Gateway, name: str, *, streamed: bool, after: bytes) -> UsageRecord:
    """Call, read until ``after`` came (or a while), hang up, wait for the record."""
    before = {record.call_id for record in gateway.records()}
    ask = {"model": name, "messages": HELLO, "stream": streamed}
    with post(gateway, json.dumps(ask).encode()) as connection:
        got = b""
        if not after:
            time.sleep(0.2)
        while after not in got:
            got += connection.recv(65536)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        new = [each for each in gateway.records() if each.call_id not in before]
        if new:
            (record,) = new
            return record
        time.sleep(0.02)
    pytest.fail("no record")


def test_a_caller_that_hangs_up_in_a_stream(gateway: Gateway, upstream: Upstream):
    record = hang_up(gateway, "endless", streamed=True, after=b"def")
    assert upstream.hung_up["endless"].wait(5), "the upstream goes on"
    assert (record.outcome, record.status, record.error) == ("cancelled", 200, None)
    assert record.meters["input_tokens"] == 7
    assert record.meters["output_tokens"] >= 2
    assert record.meters["requests"] == 1
    assert record.sources["output_tokens"] == "estimated"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_caller_that_hangs_up_before_there_is_anything(gateway, upstream, streamed):
    upstream.hung_up["never-begins"].clear()
    record = hang_up(gateway, "never-begins", streamed=streamed, after=b"")
    assert upstream.hung_up["never-begins"].wait(5), "the upstream goes on"
    assert (record.outcome, record.status, record.meters) == ("cancelled", None, {})
    assert record.produced is not None
    assert tokens(record.produced) == PROMPT
