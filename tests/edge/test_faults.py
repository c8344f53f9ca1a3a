"""What the caller gets, what is charged, what is cost: an upstream's faults over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edge.answers import TOLD
from tests.edge.faults import AGAIN, SCRIPTS, STREAMS, TABLE, Again, Row
from tests.edge.faulty import HELLO, Seen, Stage, call, send, sized, tokens
from tests.fixtures.gateway import UPSTREAM_SECRET

pytestmark = pytest.mark.xdist_group("faults")

AT_ONCE = 8
"""How many rows are called at a time."""


@pytest.fixture(scope="module")
def seen(stage: Stage) -> dict[str, Seen]:
    """All rows, several at once: none disturbs another."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda row: call(stage.gateway, row), TABLE)
        return dict(zip((row.name for row in TABLE), found, strict=True))


def test_each_row_is_called():
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert {row.name for row in TABLE if row.script is not None} <= set(SCRIPTS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_fault(stage: Stage, seen: dict[str, Seen], row: Row):
    got = seen[row.name]
    assert (got.status, got.code) == (row.status, row.code)
    assert UPSTREAM_SECRET not in got.message
    assert got.headers.get("retry-after") == row.retry_after
    assert got.param == ("voice" if row.name == "bad-request" else None)
    record = stage.gateway.record_of(got.headers["x-request-id"])
    assert (record.outcome, record.status) == (row.outcome, row.status)
    assert record.error == (row.error or row.code)
    assert tokens(record.meters) == row.charged
    assert got.text == ("abcdef" if row.charged else "")
    assert tokens(record.meters if record.produced is None else record.produced) == row.cost
    assert ("requests" in record.meters) is (row.outcome == "completed")
    assert set(record.sources) == set(record.meters) | set(record.produced or {})
    if "input_tokens" in record.sources:
        told = sum(row.cost.values()) >= TOLD["input_tokens"]
        assert record.sources["input_tokens"] == ("upstream" if told else "estimated")


@pytest.mark.parametrize("row", AGAIN, ids=lambda row: row.name)
def test_another_is_asked(stage: Stage, row: Again):
    """One call, one charge, at the model that answered; what the first made is a cost beside it."""
    got = call(stage.gateway, row)
    assert (got.status, got.code, got.text) == (200, None, "abcdef")
    assert got.headers["x-steelyard-deployment"] == row.fallback
    assert got.headers["x-steelyard-attempts"] == "2"
    record = stage.gateway.record_of(got.headers["x-request-id"])
    assert (record.outcome, record.model, record.asked) == ("completed", row.fallback, row.name)
    assert (tokens(record.meters), record.meters["requests"]) == (TOLD, 1)
    assert (record.attempts, record.produced) == (2, None)
    (first,) = record.tries
    assert (first.model, first.deployment, first.outcome) == (row.name, row.name, "failed")
    assert tokens(first.produced) == row.cost


def test_nothing_is_asked_again_once_something_was_given(stage: Stage, seen: dict[str, Seen]):
    cut = [row for row in STREAMS if row.charged]
    assert cut
    for row in cut:
        headers = seen[row.name].headers
        assert headers["x-steelyard-attempts"] == "1"
        assert stage.gateway.record_of(headers["x-request-id"]).tries == ()


def test_a_stream_that_lacks_its_end_gets_one(stage: Stage):
    with stage.gateway.client() as client:
        create = client.chat.completions.with_streaming_response.create
        with create(model="stream-usage-without-done", messages=HELLO, stream=True) as response:
            assert response.read().endswith(b"data: [DONE]\n\n")


def test_what_the_upstream_is_asked(stage: Stage):
    """Its own model's name and key; the caller's numbers digit for digit; usage in a stream."""
    numbers = b'{"temperature":0.10,"seed":123456789012345678901234567890,"x":[1e400,-0.0,1E2]}'
    body = b'{"model":"asked","messages":[{"role":"user","content":"a"}],' + numbers[1:]
    for sent in (body, body[:-1] + b',"stream":true,"stream_options":{"y":1.50}}'):
        with send(stage.gateway, sized(sent)) as connection:
            assert connection.recv(4096)
    plain, streamed = stage.upstream.asked["asked"]
    assert plain.path == "/asked/v1/chat/completions"
    assert plain.headers["authorization"] == f"bearer {UPSTREAM_SECRET}"
    assert plain.headers["content-type"] == "application/json"
    assert plain.fields["model"] == b'"upstream\'s-name"'
    assert numbers[1:-1] in plain.body
    assert "stream_options" not in plain.fields
    assert streamed.fields["stream_options"] == b'{"y":1.50,"include_usage":true}'
