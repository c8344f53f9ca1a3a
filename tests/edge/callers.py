"""The table of a caller's faults: what it does, what it gets, and whether a call comes of it."""

from __future__ import annotations

from typing import NamedTuple

from tests.edge.answers import NOTHING, PROMPT, TOLD
from tests.edge.faulty import HEADER_BYTES_MAX, asking, head, sized

BODY = asking("usage")
LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
ANOTHER = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


class Leaving(NamedTuple):
    """A caller that hangs up: once ``after`` came, else soon after it sent what it sends.

    ``charged`` and ``cost`` None: as much as came; without a ``call`` nothing is.
    """

    name: str
    says: str
    sent: bytes
    after: bytes = b""
    call: bool = True
    status: int | None = None
    charged: dict[str, int] | None = NOTHING
    cost: dict[str, int] | None = PROMPT
    model: str = "never-begins"


LEAVING = [
    Leaving("in-the-head", "In the middle of the head.", head()[:40], call=False),
    Leaving("before-the-body", "Before the body.", head(LENGTH), call=False),
    Leaving("in-the-body", "In the middle of the body.", head(LENGTH) + BODY[:9], call=False),
    Leaving(
        "in-a-chunk", "In the middle of a chunked body.", head(CHUNKED) + CHUNKS[:9], call=False
    ),
    Leaving("before-an-answer", "Before the answer.", sized(asking("never-begins"))),
    Leaving(
        "before-the-first-event",
        "Before the first event.",
        sized(asking("never-begins", streamed=True)),
    ),
    Leaving(
        "in-the-stream",
        "In the middle of a stream.",
        sized(asking("endless", streamed=True)),
        b"def",
        status=200,
        charged=None,
        cost=None,
        model="endless",
    ),
    Leaving(
        "before-the-end",
        "After the text and before the last event.",
        sized(asking("nearly-ends", streamed=True)),
        b'"stop"',
        status=200,
        charged=TOLD,
        cost=TOLD,
        model="nearly-ends",
    ),
]


class Oddity(NamedTuple):
    """A request that no client library sends. ``status`` 0: the connection ends without one."""

    name: str
    says: str
    sent: bytes
    status: int
    more: bytes = b""
    """What is sent behind it, and must never be taken for a request."""


SMUGGLING = [
    Oddity("two-lengths", "Two lengths.", head(LENGTH, b"content-length: 3") + BODY, 400),
    Oddity("one-length-twice", "One length, twice.", head(LENGTH, LENGTH) + BODY, 400),
    Oddity("a-list-of-lengths", "Two lengths in a line.", head(LENGTH + b", 3") + BODY, 400),
    Oddity("a-signed-length", "A length with a sign.", head(b"content-length: +3") + BODY, 400),
    Oddity("a-huge-length", "A length of 23 digits.", head(b"content-length: " + b"9" * 23), 400),
    Oddity(
        "length-and-chunks",
        "A length, and chunks.",
        head(b"content-length: 5", CHUNKED) + b"0\r\n\r\n",
        400,
        ANOTHER,
    ),
    Oddity("chunks-and-length", "The same, turned.", head(CHUNKED, LENGTH) + CHUNKS, 400, ANOTHER),
    Oddity(
        "unknown-encoding",
        "Another transfer encoding.",
        head(b"transfer-encoding: xchunked") + CHUNKS,
        400,
    ),
    Oddity(
        "chunks-not-last",
        "Chunks, and then another encoding.",
        head(b"transfer-encoding: chunked, identity") + CHUNKS,
        400,
    ),
    Oddity(
        "two-encodings",
        "Two transfer encodings.",
        head(CHUNKED, b"transfer-encoding: identity") + CHUNKS,
        400,
    ),
    Oddity(
        "chunks-in-1.0",
        "Chunks in HTTP/1.0.",
        head(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKS,
        400,
    ),
    Oddity(
        "space-in-a-name",
        "A space behind a name.",
        head(b"transfer-encoding : chunked") + CHUNKS,
        400,
    ),
    Oddity("bare-lf", "Lines that end in LF.", head(LENGTH).replace(b"\r\n", b"\n") + BODY, 400),
    Oddity("one-bare-lf", "One line that does.", head(b"x: a\n" + LENGTH) + BODY, 400),
    Oddity("bare-cr", "A CR within a line.", head(b"x: a\r" + LENGTH) + BODY, 400),
    Oddity("obs-fold", "A line folded as of old.", head(b"x: a\r\n b", LENGTH) + BODY, 400),
    Oddity(
        "folded-encoding",
        "The transfer encoding folded.",
        head(b"transfer-encoding:\r\n chunked", LENGTH) + CHUNKS,
        400,
        ANOTHER,
    ),
    Oddity("nul", "A NUL within a line.", head(b"x: a\0b", LENGTH) + BODY, 400),
    Oddity("no-chunk", "A chunk's size that is none.", head(CHUNKED) + b"zz\r\n" + BODY, 400),
    Oddity("chunk-lf", "A chunk's size that ends in LF.", head(CHUNKED) + b"3\n{}", 400),
    Oddity(
        "huge-chunk",
        "A chunk's size beyond 64 bits.",
        head(CHUNKED) + b"fffffffffffffffff\r\n" + BODY,
        400,
    ),
    Oddity(
        "whole-and-broken",
        "A whole body in a chunk, and then none.",
        head(CHUNKED) + b"%x\r\n%b\r\nzz\r\n" % (len(BODY), BODY),
        400,
    ),
]

BOMBS = [
    Oddity(
        "long-target",
        "A target longer than `header_bytes_max`.",
        b"GET /" + b"a" * HEADER_BYTES_MAX + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        431,
    ),
    Oddity(
        "long-header",
        "A header longer than `header_bytes_max`.",
        head(b"x: " + b"a" * HEADER_BYTES_MAX, LENGTH) + BODY,
        431,
    ),
    Oddity("many-headers", "500 headers.", head(*[b"x-%d: y" % i for i in range(500)]), 431),
    Oddity("endless-head", "A head without an end.", head()[:-2] + b"a: b\r\n" * 100_000, 431),
    Oddity("slow-body", "A body that stops coming.", head(LENGTH) + BODY[:9], 408),
    Oddity(
        "large-body",
        "A body longer than `body_bytes_max`.",
        head(b"content-length: 99999999") + BODY,
        413,
    ),
    Oddity("no-http", "What is no HTTP.", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400),
    Oddity("http-2", "HTTP/2 without asking.", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
]
