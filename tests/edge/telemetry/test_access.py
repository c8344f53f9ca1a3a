"""The access log: what a line says, that it survives rotation, and what it drops."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from steelyard.edge.telemetry.access import AccessLog, line_of
from steelyard.edge.telemetry.drains import Drain
from tests.edge.telemetry.seen import ended, refused


def lines(path: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def until_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(path.read_text() if path.exists() else "no file")


def test_a_call_is_a_line():
    written = msgspec.json.decode(msgspec.json.encode(line_of(ended())))
    assert written == {
        "at": "2026-11-24T00:00:00.000Z",
        "call_id": "0199e0a0-c0de-7abc-8def-0123456789ab",
        "status": 200,
        "outcome": "completed",
        "duration_ms": 1250.0,
        "first_token_ms": 250.0,
        "customer": "acme",
        "key": "k",
        "operation": "chat",
        "model": "m",
        "deployment": "d",
        "streamed": True,
        "attempts": 1,
        "tokens": {
            "input_tokens": 30,
            "cached_input_tokens": 10,
            "output_tokens": 5,
            "reasoning_tokens": 6,
        },
        "egress_bytes": 99,
        "upstream_id": "up-1",
    }


def test_a_refusal_is_a_line_and_tells_no_secret():
    written = msgspec.json.encode(line_of(refused()))
    assert msgspec.json.decode(written)["code"] == "overloaded"
    assert b"sk-secret" not in written


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path, 100)
    log.ended(ended())
    until_lines(path, 1)
    path.rename(tmp_path / "access.log.1")
    log.ended(ended(customer="globex"))
    until_lines(path, 1)
    log.close()
    assert [line["customer"] for line in lines(tmp_path / "access.log.1")] == ["acme"]
    assert [line["customer"] for line in lines(path)] == ["globex"]
    assert log.dropped == 0


def test_what_is_left_is_written_at_the_end(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path, 5000)
    for _ in range(3000):
        log.ended(ended())
    log.close()
    assert len(lines(path)) == 3000


def test_a_disk_without_room_drops_and_counts():
    log = AccessLog(Path("/dev/full"), 100)
    for _ in range(7):
        log.ended(ended())
    log.close()
    assert log.dropped == 7


def test_a_drain_that_can_not_keep_up_drops_and_counts():
    carried: list[int] = []

    def carry(items: list[int]) -> int:
        carried.extend(items)
        return 0

    drain = Drain("slow", carry, items_max=10, every_s=60)
    for number in range(25):
        drain.put(number)
    drain.close()
    assert carried == list(range(10))
    assert drain.dropped == 15
