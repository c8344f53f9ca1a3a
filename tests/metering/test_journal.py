"""The writer: one a name, in the kernel at once, on the disk together, and never without room."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steelyard.metering import frames
from steelyard.metering.frames import Seal
from steelyard.metering.inspection import Inspected, stats, verify
from steelyard.metering.journal import (
    FULL_RETRY_US,
    JournalError,
    JournalFullError,
    JournalWriter,
    WriterTakenError,
)
from steelyard.metering.segments import read, seal_of, segments
from steelyard.values.clock import FixedClock
from steelyard.values.facts import Fact
from steelyard.values.usage import Announcement, UsageRecord
from tests.metering.journals import AT_US, announced, items, recorded, sealed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def writer(tmp_path, clock):
    with JournalWriter(
        tmp_path, "gateway-1", durability="process", clock=clock, growth_bytes=4096
    ) as opened:
        yield opened


def all_whole(root: Path) -> bool:
    return all(isinstance(found, Inspected) for found in verify(root))


def test_what_was_appended_is_with_the_kernel(tmp_path, writer):
    writer.announce(announced(1))
    writer.record(recorded(1))
    writer.block([recorded(2), recorded(3)])
    assert items(tmp_path) == [announced(1), recorded(1), (recorded(2), recorded(3))]


def test_a_large_block_is_several_frames(tmp_path, writer):
    block = [recorded(number) for number in range(frames.BLOCK_RECORDS_MAX + 1)]
    writer.block(block)
    assert [len(item) for item in items(tmp_path)] == [frames.BLOCK_RECORDS_MAX, 1]
    writer.block([])
    assert len(items(tmp_path)) == 2


def test_a_fact_stands_between_the_calls(tmp_path, writer):
    said = Fact(recorded(9).call_id, AT_US, "accepted", '{"milestone": "first"}', "anna")
    writer.record(recorded(1))
    writer.fact(said)
    writer.record(recorded(2))
    assert items(tmp_path) == [recorded(1), said, recorded(2)]
    found = stats(tmp_path)
    assert (found.records, found.facts) == (2, 1)


def test_closing_seals_and_gives_the_room_back(tmp_path, writer):
    writer.record(recorded(1))
    (segment,) = segments(tmp_path)
    assert segment.path.stat().st_size == 4096
    writer.close()
    writer.close()
    assert segment.path.stat().st_size < 1000
    seal = sealed(segment.path)
    assert (seal.frames, seal.records, seal.running, seal.recovered) == (1, 1, 0, False)
    with pytest.raises(JournalError, match="closed"):
        writer.record(recorded(2))


def test_closing_leaves_running_calls_to_recovery(tmp_path, writer):
    writer.announce(announced(1))
    writer.close()
    (segment,) = segments(tmp_path)
    assert seal_of(segment.path) is None


def test_a_writer_id_is_used_once(tmp_path, writer, clock):
    for _ in range(2):
        with pytest.raises(WriterTakenError, match="gateway-1"):
            JournalWriter(tmp_path, "gateway-1", durability="process", clock=clock)
        writer.close()


def test_a_new_segment_opens_with_the_running_calls(tmp_path, clock):
    with JournalWriter(
        tmp_path,
        "gateway-1",
        durability="disk",
        clock=clock,
        segment_bytes_max=2000,
        growth_bytes=512,
    ) as writer:
        writer.announce(announced(0))
        for number in range(1, 30):
            writer.announce(announced(number))
            writer.record(recorded(number))
        writer.record(recorded(0))
    found = segments(tmp_path)
    assert len(found) > 3
    for segment in found[1:]:
        (_, _, first), *_ = read(segment.path)
        assert first == announced(0)
    seals = [sealed(segment.path) for segment in found]
    assert [seal.running for seal in seals] == [1] * (len(found) - 1) + [0]
    assert all_whole(tmp_path)
    records = [item for item in items(tmp_path) if isinstance(item, UsageRecord)]
    assert sorted(record.at_us for record in records) == [recorded(n).at_us for n in range(30)]


def test_a_second_attempt_is_announced_under_the_same_call(tmp_path, writer):
    writer.announce(announced(1))
    writer.announce(announced(1, attempt=2, deployment="elsewhere"))
    writer.record(recorded(1, attempts=2))
    writer.close()
    *found, seal = items(tmp_path)
    assert [type(item) for item in found] == [Announcement, Announcement, UsageRecord]
    assert isinstance(seal, Seal)
    assert seal.running == 0


def slow_sync(fd: int) -> None:
    time.sleep(0.02)


async def test_settling_is_shared(tmp_path, clock, monkeypatch):
    syncs = []

    def slow(fd: int) -> None:
        syncs.append(fd)
        time.sleep(0.02)

    with JournalWriter(tmp_path, "gateway-1", durability="disk", clock=clock) as writer:
        monkeypatch.setattr(os, "fdatasync", slow)

        async def call(number: int) -> None:
            writer.announce(announced(number))
            writer.record(recorded(number))
            await writer.settled()

        await asyncio.gather(*(call(number) for number in range(50)))
        assert len(syncs) in {1, 2}
        await writer.settled()
        writer.sync()
        assert len(syncs) in {1, 2}


async def test_settling_covers_what_was_written_before_it(tmp_path, clock, monkeypatch):
    """Who writes while a sync runs waits for the next one."""
    done = []

    def slow(fd: int) -> None:
        size = (tmp_path / "gateway-1" / "00000001.seg").read_bytes().rstrip(b"\0")
        time.sleep(0.02)
        done.append(len(size))

    with JournalWriter(tmp_path, "gateway-1", durability="disk", clock=clock) as writer:
        monkeypatch.setattr(os, "fdatasync", slow)
        writer.record(recorded(1))
        first = asyncio.create_task(writer.settled())
        await asyncio.sleep(0.01)
        writer.record(recorded(2))
        size = (tmp_path / "gateway-1" / "00000001.seg").read_bytes().rstrip(b"\0")
        await writer.settled()
        assert first.done()
        assert done[-1] == len(size)


async def test_a_waiter_that_goes_away_stops_nobody_elses_sync(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", slow_sync)
    with JournalWriter(tmp_path, "gateway-1", durability="disk", clock=clock) as writer:
        writer.record(recorded(1))
        first = asyncio.create_task(writer.settled())
        second = asyncio.create_task(writer.settled())
        await asyncio.sleep(0.005)
        first.cancel()
        await second
        assert first.cancelled()


async def test_by_process_nothing_is_waited_for(writer, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", None)
    writer.record(recorded(1))
    await writer.settled()
    writer.sync()


async def test_a_failed_sync_ends_the_writer(tmp_path, clock, monkeypatch):
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    writer = JournalWriter(tmp_path, "gateway-1", durability="disk", clock=clock)
    monkeypatch.setattr(os, "fdatasync", fail)
    writer.announce(announced(1))
    for _ in range(2):
        with pytest.raises(JournalError, match="the disk is gone"):
            await writer.settled()
    with pytest.raises(JournalError, match="the disk is gone"):
        writer.record(recorded(1))
    writer.close()
    (segment,) = segments(tmp_path)
    assert seal_of(segment.path) is None


class Disk:
    """Takes room from a disk that has so many bytes left."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked = 0
        self.take = os.posix_fallocate

    def __call__(self, fd: int, offset: int, size: int) -> None:
        self.asked += 1
        if size > self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= size
        self.take(fd, offset, size)


def call_until_full(writer: JournalWriter, numbers: range, *, ends: bool) -> list[int]:
    """Announce calls, and record them if they end, until one is refused; those that were not."""
    taken = []
    for number in numbers:
        try:
            writer.announce(announced(number))
        except JournalFullError:
            return taken
        taken.append(number)
        if ends:
            writer.record(recorded(number))
    raise AssertionError


def test_a_full_disk_refuses_calls_and_keeps_the_running_ones(tmp_path, writer, clock, monkeypatch):
    disk = Disk(3 * 4096)
    monkeypatch.setattr(os, "posix_fallocate", disk)
    running = call_until_full(writer, range(100), ends=False)
    assert len(running) > 5
    asked = disk.asked
    with pytest.raises(JournalFullError, match="a moment ago") as caught:
        writer.announce(announced(100))
    assert caught.value.code == "journal_full"
    with pytest.raises(JournalFullError):
        writer.block([recorded(101, user="x" * 5000)])
    assert disk.asked == asked
    # Each running call ends, the last of them with a record as long as one can be.
    for number in running[:-1]:
        writer.record(recorded(number, user="u" * 128, upstream_id="i" * 128))
    writer.record(recorded(running[-1], user="u" * 1000))
    assert disk.asked == asked
    clock.advance(FULL_RETRY_US)
    disk.left = 1 << 20
    writer.announce(announced(100))
    writer.record(recorded(100))
    writer.close()
    records = [item for item in items(tmp_path) if isinstance(item, UsageRecord)]
    assert len(records) == len(running) + 1
    assert all_whole(tmp_path)


def test_a_full_disk_at_the_end_of_a_segment(tmp_path, clock, monkeypatch):
    writer = JournalWriter(
        tmp_path,
        "gateway-1",
        durability="process",
        clock=clock,
        segment_bytes_max=4000,
        growth_bytes=4096,
    )
    disk = Disk(2 * 4096)
    monkeypatch.setattr(os, "posix_fallocate", disk)
    calls = len(call_until_full(writer, range(100), ends=True))
    assert len(segments(tmp_path)) == 2
    assert not (tmp_path / "gateway-1" / "next").exists()
    clock.advance(FULL_RETRY_US)
    disk.left = 1 << 20
    writer.announce(announced(calls))
    writer.record(recorded(calls))
    writer.close()
    assert all_whole(tmp_path)
    records = [item for item in items(tmp_path) if isinstance(item, UsageRecord)]
    assert records == [recorded(number) for number in range(calls + 1)]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_disk_that_promises_no_room_is_written_without(tmp_path, clock, monkeypatch, number):
    def fail(fd: int, offset: int, size: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with JournalWriter(tmp_path, "gateway-1", durability="disk", clock=clock) as writer:
        writer.announce(announced(1))
        writer.record(recorded(1))
    assert all_whole(tmp_path)


def test_a_full_disk_at_the_start(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", Disk(0))
    with pytest.raises(JournalFullError):
        JournalWriter(tmp_path, "gateway-1", durability="process", clock=clock)
    assert not list(tmp_path.iterdir())


FULL = """
import resource, sys
from pathlib import Path
from steelyard.metering.journal import JournalFullError, JournalWriter
from steelyard.values.clock import FixedClock
from tests.metering.journals import AT_US, announced, recorded

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = JournalWriter(
    Path(sys.argv[1]), "gateway-1", durability="process", clock=FixedClock(), growth_bytes=16384
)
running = []
try:
    while True:
        writer.announce(announced(len(running)))
        running.append(len(running))
except JournalFullError as exc:
    print(exc, file=sys.stderr)
for number in running:
    writer.record(recorded(number))
writer.close()
print(len(running))
"""


def test_a_limit_of_the_system_refuses_calls_and_keeps_the_running_ones(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "no room in the journal of gateway-1" in ran.stderr
    calls = int(ran.stdout)
    assert calls > 30
    *found, seal = items(tmp_path)
    assert found == [
        *(announced(number) for number in range(calls)),
        *(recorded(number) for number in range(calls)),
    ]
    assert isinstance(seal, Seal)
    assert all_whole(tmp_path)
