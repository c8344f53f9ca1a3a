"""What callers do wrong, over real sockets: hanging up, not reading, and requests that are none."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from steelyard.values.usage import UsageRecord
from tests.edge.answers import chunk
from tests.edge.callers import ANOTHER, BOMBS, LEAVING, SMUGGLING, Leaving, Oddity
from tests.edge.faulty import Stage, asking, send, sized, tokens
from tests.fixtures import upstreams
from tests.fixtures.gateway import Deployed, Gateway, running
from tests.fixtures.upstreams import Upstream, stream

pytestmark = pytest.mark.xdist_group("faults")


def calls(gateway: Gateway) -> set[bytes]:
    return {each.call_id for each in gateway.announcements()}


def leave(stage: Stage, row: Leaving) -> None:
    """Send, read as far as the row says, and hang up."""
    before = asked(stage, row)
    with send(stage.gateway, row.sent) as connection:
        deadline = time.monotonic() + 5
        while row.call and asked(stage, row) == before:
            assert time.monotonic() < deadline, "the upstream is not asked"
            time.sleep(0.01)
        if not row.after:
            time.sleep(0.1)
        got = b""
        while row.after not in got:
            part = connection.recv(65536)
            assert part
            got += part


def records_since(gateway: Gateway, before: set[bytes], count: int) -> list[UsageRecord]:
    """The records of the calls that came since, once there are so many."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        new = [each for each in gateway.records() if each.call_id not in before]
        if len(new) >= count:
            return new
        time.sleep(0.02)
    pytest.fail("no record")


def asked(stage: Stage, row: Leaving) -> int:
    return len(stage.upstream.asked.get(row.model, ()))


@pytest.mark.parametrize("row", LEAVING, ids=lambda row: row.name)
def test_a_caller_that_hangs_up(stage: Stage, row: Leaving):
    before = calls(stage.gateway)
    told = stage.upstream.hung_up[row.model]
    told.clear()
    leave(stage, row)
    if not row.call:
        alive(stage.gateway)
        assert len(calls(stage.gateway) - before) == 1
        return
    (record,) = records_since(stage.gateway, before, 1)
    assert (record.outcome, record.status, record.error) == ("cancelled", row.status, None)
    charged = tokens(record.meters)
    cost = tokens(record.meters if record.produced is None else record.produced)
    if row.charged is None:
        assert charged["input_tokens"] == 7
        assert 2 <= charged["output_tokens"] <= cost["output_tokens"]
    else:
        assert (charged, cost) == (row.charged, row.cost)
    assert ("requests" in record.meters) is bool(charged)
    if row.model != "nearly-ends":
        assert told.wait(5), "the upstream goes on"


def alive(gateway: Gateway) -> None:
    """The next caller is served."""
    with send(gateway, sized(asking("usage"))) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("row", [*SMUGGLING, *BOMBS], ids=lambda row: row.name)
def test_a_request_that_is_none(stage: Stage, row: Oddity):
    """It is refused, comes to no call, and nothing behind it is taken for a request."""
    before = calls(stage.gateway)
    got = b""
    with contextlib.suppress(ConnectionError), send(stage.gateway, row.sent) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(row.more or ANOTHER)
        while part := connection.recv(65536):
            got += part
    assert got.startswith(b"HTTP/1.1 %d " % row.status), got[:100]
    assert got.count(b"HTTP/1.1") == 1
    assert calls(stage.gateway) == before
    alive(stage.gateway)


def rss_kb(gateway: Gateway) -> int:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0])


UNREAD_KB_MAX = 40 << 10
"""How much memory a stream may take that nobody reads: what waits, and at its end its text, of up
to 4 MiB, a few times over while it is weighed."""


EVENT = b"data: " + chunk("abcd" * 4096).encode() + b"\n\n"


def flood(connection: socket.socket, hung_up: threading.Event) -> None:
    """Events as fast as they are taken, for ever."""
    connection.sendall(stream(chunk("abcd"), end=False))
    try:
        while True:
            connection.sendall(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    except OSError:
        hung_up.set()


@pytest.fixture
def flooded(tmp_path) -> Generator[tuple[Gateway, Upstream]]:
    with upstreams.serving({"flood": flood}) as upstream:
        deployed = [Deployed("flood", "openai", upstream.url("flood"))]
        with running(tmp_path, deployed, "total_s = 4") as started:
            yield started, upstream


def test_a_caller_that_never_reads(flooded):
    """The upstream is held back, memory stays bounded, what was not taken is not charged."""
    gateway, upstream = flooded
    idle_kb, highest_kb = rss_kb(gateway), 0
    with send(gateway, sized(asking("flood", streamed=True))):
        deadline = time.monotonic() + 10
        while not gateway.records():
            assert time.monotonic() < deadline
            highest_kb = max(highest_kb, rss_kb(gateway))
            time.sleep(0.05)
    assert highest_kb - idle_kb < UNREAD_KB_MAX
    assert upstream.hung_up["flood"].wait(5), "the upstream goes on"
    (record,) = gateway.records()
    assert (record.outcome, record.status, record.error) == ("cancelled", 200, "answer_unread")
    taken = record.meters["output_tokens"]
    assert 4 * taken < record.meters["egress_bytes"] < UNREAD_KB_MAX << 10
    assert record.produced is not None
    assert record.produced["output_tokens"] > taken


HEDGED = """
[[route]]
model = "hedged"
hedge_ms = 50
"""


def test_a_caller_that_hangs_up_on_two_attempts_at_once(tmp_path):
    """Both upstreams are told."""
    scripts = {"first": upstreams.silence, "second": upstreams.silence}
    with upstreams.serving(scripts) as upstream:
        deployed = [Deployed("hedged", "openai", upstream.url(name), id=name) for name in scripts]
        with running(tmp_path, deployed, HEDGED) as gateway:
            with send(gateway, sized(asking("hedged"))):
                deadline = time.monotonic() + 5
                while len(upstream.asked) < len(scripts):
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                time.sleep(0.2)
            assert [told.wait(5) for told in upstream.hung_up.values()] == [True, True]
            (record,) = records_since(gateway, set(), 1)
    assert (record.outcome, record.attempts, record.meters) == ("cancelled", 2, {})
    assert len(record.tries) == 1
