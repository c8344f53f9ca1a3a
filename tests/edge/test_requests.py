"""Requests that no client library would send, over a bare socket."""

from __future__ import annotations

import socket
import time

import msgspec
import pytest

from tests.fixtures.gateway import SECRET, Gateway

pytestmark = pytest.mark.xdist_group("gateway")

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"host: gateway\r\n"
AUTH = b"authorization: Bearer " + SECRET.encode() + b"\r\n"
JSON = b"content-type: application/json\r\n"
BODY = b'{"model":"echo-1","messages":[{"role":"user","content":"hello"}]}'


def head(*lines: bytes) -> bytes:
    return CHAT + HOST + AUTH + b"".join(lines) + b"\r\n"


def sized(body: bytes) -> bytes:
    return head(JSON, b"content-length: %d\r\n" % len(body)) + body


def chunked(*parts: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return head(JSON, b"transfer-encoding: chunked\r\n") + framed + b"0\r\n\r\n"


class Got:
    """What came back: status, headers by their lower name, body; status 0 for nothing."""

    def __init__(self, raw: bytes) -> None:
        top, _, self.body = raw.partition(b"\r\n\r\n")
        lines = top.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if top else 0
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:])

    @property
    def error(self) -> dict[str, str | None]:
        return msgspec.json.decode(self.body)["error"]


def exchange(gateway: Gateway, sent: bytes, wait_s: float = 5) -> Got:
    """Send, and read one answer by its content-length; to the end where it has none."""
    with socket.create_connection(gateway.address, timeout=wait_s) as connection:
        connection.sendall(sent)
        raw = b""
        while part := connection.recv(65536):
            raw += part
            top, end, body = raw.partition(b"\r\n\r\n")
            length = [line for line in top.lower().split(b"\r\n") if b"content-length:" in line]
            if end and length and len(body) >= int(length[0].split(b":")[1]):
                break
        return Got(raw)


MALFORMED = [
    (b"", "The body is empty; it must be a JSON object."),
    (b"[1]", "The body must be a JSON object."),
    (b'"text"', "The body must be a JSON object."),
    (b'{"model": "echo-1",\n  "messages": nope}', "line 2, column 16: invalid character"),
    (b'{"model": "\xc3\xa9\xc3\xa9" x}', "line 1, column 16"),
    (b'{"model": "echo-1"', "line 1, column 19: it ends too early"),
    (b'{"model": "echo-1"} trailing', "line 1, column 21: trailing characters"),
    (b'{"\xff": 1}', "not valid JSON"),
    (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
]


@pytest.mark.parametrize(("body", "says"), MALFORMED)
def test_malformed_json_is_located(gateway, body, says):
    got = exchange(gateway, sized(body))
    assert got.status == 400
    assert got.error["code"] == "invalid_json"
    assert got.error["type"] == "invalid_request_error"
    assert says in got.error["message"]


REFUSED = [
    # what is sent, status, code (None: the HTTP library answers by itself, without a body)
    (b"GET /v1/nothing HTTP/1.1\r\n" + HOST + b"\r\n", 404, "not_found"),
    (b"GET /v1/chat/completions HTTP/1.1\r\n" + HOST + AUTH + b"\r\n", 405, "method_not_allowed"),
    (b"DELETE /v1/models/echo-1 HTTP/1.1\r\n" + HOST + AUTH + b"\r\n", 405, "method_not_allowed"),
    (b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n", 401, "invalid_api_key"),
    (CHAT + HOST + JSON + b"content-length: 2\r\n\r\n{}", 401, "invalid_api_key"),
    (
        CHAT
        + HOST
        + JSON
        + b"authorization: Bearer sk-\xff\xc3\xa9\r\ncontent-length: 2\r\n\r\n{}",
        401,
        "invalid_api_key",
    ),
    (
        CHAT + HOST + b"authorization: Basic c2s=\r\ncontent-length: 2\r\n\r\n{}",
        401,
        "invalid_api_key",
    ),
    (
        head(b"content-type: text/plain\r\n", b"content-length: 2\r\n") + b"{}",
        415,
        "unsupported_media_type",
    ),
    (
        head(JSON, b"content-encoding: gzip\r\n", b"content-length: 2\r\n") + b"{}",
        415,
        "unsupported_media_type",
    ),
    (head(JSON, b"content-length: 200001\r\n") + b"x" * 200_001, 413, "request_too_large"),
    (chunked(*[b"x" * 20_000] * 11), 413, "request_too_large"),
    (head(JSON, b"content-length: 2\r\ncontent-length: 3\r\n") + b"{} ", 400, None),
    (head(JSON, b"content-length: -1\r\n"), 400, None),
    (head(b"x-bomb: " + b"x" * 20_000 + b"\r\n"), 431, None),
    (head(*[b"x-%d: y\r\n" % i for i in range(500)]), 431, None),
]


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED)
def test_refused(gateway, sent, status, code):
    got = exchange(gateway, sent)
    assert got.status == status
    if code is None:
        assert not got.body
    else:
        assert got.error["code"] == code
        assert got.headers["x-request-id"]


@pytest.mark.parametrize("sent", [sized(BODY), chunked(BODY[:9], BODY[9:40], BODY[40:])])
def test_a_body_in_one_piece_or_in_several(gateway, sent):
    got = exchange(gateway, sent)
    assert got.status == 200
    assert gateway.record_of(got.headers["x-request-id"]).meters["ingress_bytes"] == len(BODY)


def test_a_repeated_name_means_one_thing_to_us_and_to_the_upstream(gateway: Gateway):
    body = b'{"model":"echo-1","model":"echo-2",' + BODY[18:]
    got = exchange(gateway, sized(body))
    assert msgspec.json.decode(got.body)["model"] == "echo-2"
    assert gateway.record_of(got.headers["x-request-id"]).model == "echo-2"


def test_a_slow_body_is_not_waited_for(gateway):
    begun = time.monotonic()
    got = exchange(gateway, head(JSON, b"content-length: 500\r\n") + b'{"model"')
    assert (got.status, got.error["code"]) == (408, "request_timeout")
    assert 0.9 < time.monotonic() - begun < 4


def test_a_body_shorter_than_it_says_is_no_call(gateway: Gateway):
    before = len(gateway.announcements())
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(head(JSON, b"content-length: 500\r\n") + BODY)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1024)
    assert exchange(gateway, sized(BODY)).status == 200
    assert len(gateway.announcements()) == before + 1


def test_a_stream_ends_with_its_last_event(gateway: Gateway):
    """The body's end is sent at once, however long the stream was: nothing keeps it open."""
    body = BODY[:-1] + b',"stream":true,"echo":{"words":4,"delay_ms":30}}'
    with socket.create_connection(gateway.address, timeout=2) as connection:
        connection.sendall(sized(body))
        raw = b""
        while not raw.endswith(b"\r\n0\r\n\r\n"):
            part = connection.recv(65536)
            assert part
            raw += part
    assert b"data: [DONE]\n\n" in raw


def test_what_follows_a_body_is_the_next_request(gateway: Gateway):
    """A body longer than it says would be a second request: it is one, and is refused as such."""
    smuggled = b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(sized(BODY) + smuggled)
        raw = b""
        while b"invalid_api_key" not in raw:
            raw += connection.recv(65536)
    assert raw.count(b"HTTP/1.1 200 OK") == 1
    assert raw.count(b"HTTP/1.1 401 Unauthorized") == 1


def test_a_connection_outlives_a_refusal(gateway: Gateway):
    with socket.create_connection(gateway.address, timeout=5) as connection:
        for sent, status in ((sized(b"nope"), b"400"), (sized(BODY), b"200")):
            connection.sendall(sent)
            assert connection.recv(65536).startswith(b"HTTP/1.1 " + status)


def test_health(gateway):
    for path in (b"/healthz", b"/readyz"):
        for method, body in ((b"GET", True), (b"HEAD", False)):
            got = exchange(gateway, method + b" " + path + b" HTTP/1.0\r\n" + HOST + b"\r\n")
            assert got.status == 200
            assert bool(got.body) is body
