"""Whatever was killed and whenever: each announced call has one record, and nothing is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from steelyard.metering.frames import Seal, encode
from steelyard.metering.inspection import Damage, Inspected, verify
from steelyard.metering.journal import RECORD_BYTES_MORE, JournalWriter
from steelyard.metering.recovery import Recovered, Recovery, closing, recover
from steelyard.metering.segments import read, seal_of, segments
from steelyard.values.clock import FixedClock
from steelyard.values.usage import Announcement, UsageRecord
from tests.metering.journals import announced, items, open_writer, recorded, sealed

ROOT = Path(__file__).parents[2]


def die(writer: JournalWriter) -> None:
    """Let go of everything that a killed process would: its files, and with them its lock."""
    os.close(writer._segment.fd)  # noqa: SLF001 - nothing public dies
    os.close(writer._lock_fd)  # noqa: SLF001


def found_in(root: Path) -> tuple[list[bytes], list[bytes]]:
    """The calls announced, and the calls recorded, once for each time."""
    found = items(root)
    return (
        [item.call_id for item in found if isinstance(item, Announcement)],
        [item.call_id for item in found if isinstance(item, UsageRecord)],
    )


def assert_whole(root: Path) -> None:
    """Each announced call has one record; each segment is sealed, and not a byte is off."""
    calls, records = found_in(root)
    assert len(records) == len(set(records))
    assert set(records) >= set(calls)
    for found in verify(root):
        assert isinstance(found, Inspected), found
        assert found.seal is not None
    assert recover(root, FixedClock()) == Recovery((), (), ())


def test_a_running_call_is_closed_at_our_cost(tmp_path):
    writer = open_writer(tmp_path)
    writer.announce(announced(1))
    writer.record(recorded(1))
    writer.announce(announced(2, expected={"input_tokens": 9, "output_tokens": 800}))
    writer.announce(announced(2, attempt=2, expected={"input_tokens": 9}, deployment="other"))
    die(writer)
    assert recover(tmp_path, FixedClock()) == Recovery(
        recovered=(Recovered("gateway-1/00000001.seg", closed=1, cut=0),), damages=(), live=()
    )
    (segment,) = segments(tmp_path)
    *_, (_, _, closed), (_, _, seal) = read(segment.path)
    assert closed == recorded(
        2,
        outcome="interrupted",
        meters={},
        sources={"input_tokens": "estimated"},
        produced={"input_tokens": 9},
        origin="recovered",
        attempts=2,
        deployment="other",
        error="interrupted",
    )
    assert isinstance(seal, Seal)
    assert (seal.frames, seal.records, seal.running, seal.recovered) == (5, 2, 0, True)
    assert_whole(tmp_path)


def test_the_living_are_left_alone(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.announce(announced(1))
        assert recover(tmp_path, FixedClock()) == Recovery((), (), live=("gateway-1",))
        writer.record(recorded(1))
    assert recover(tmp_path, FixedClock()) == Recovery((), (), ())
    assert recover(tmp_path / "nowhere", FixedClock()) == Recovery((), (), ())


def test_a_writer_that_never_wrote_is_closed(tmp_path):
    die(open_writer(tmp_path))
    (tmp_path / "gateway-2").mkdir()
    assert len(recover(tmp_path, FixedClock()).recovered) == 1
    assert_whole(tmp_path)


def test_a_torn_tail_is_cut_at_every_length(tmp_path):
    writer = open_writer(tmp_path)
    writer.announce(announced(1))
    writer.announce(announced(2))
    writer.record(recorded(1, user="x" * 100))
    die(writer)
    (segment,) = segments(tmp_path)
    data = segment.path.read_bytes()
    _, _, (start, end, _) = read(segment.path)
    for length in range(start, end):
        segment.path.write_bytes(data[:length].ljust(len(data), b"\0"))
        (recovered,) = recover(tmp_path, FixedClock()).recovered
        assert recovered.closed == 2
        assert recovered.cut == len(data[start:length].rstrip(b"\0"))
        assert sealed(segment.path).cut == recovered.cut
        assert_whole(tmp_path)


def test_damage_is_left_and_the_others_are_closed(tmp_path):
    for name in ("gateway-1", "gateway-2", "gateway-3"):
        writer = open_writer(tmp_path, name)
        writer.announce(announced(int(name[-1])))
        writer.announce(announced(int(name[-1]) + 10))
        die(writer)
    path = segments(tmp_path)[1].path
    damaged = bytearray(path.read_bytes())
    _, (offset, _, _) = read(path)
    damaged[offset + 30] ^= 4
    path.write_bytes(damaged)
    for _ in range(2):
        found = recover(tmp_path, FixedClock())
        assert found.damages == (
            Damage(path, offset, "the frame's content does not match its checksum"),
        )
        assert path.read_bytes() == damaged
    assert [seal_of(segment.path) is not None for segment in segments(tmp_path)] == [
        True,
        False,
        True,
    ]


def test_of_two_recoveries_at_once_one_closes_each_writer(tmp_path):
    names = [f"gateway-{number}" for number in range(20)]
    for number, name in enumerate(names):
        writer = open_writer(tmp_path, name)
        for call in range(20):
            writer.announce(announced(number * 100 + call))
        die(writer)
    barrier = threading.Barrier(2)
    reports: list[Recovery] = []

    def run() -> None:
        barrier.wait()
        reports.append(recover(tmp_path, FixedClock()))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closed = [each.segment for report in reports for each in report.recovered]
    assert sorted(closed) == sorted(f"{name}/00000001.seg" for name in names)
    assert_whole(tmp_path)


class KilledError(BaseException):
    """A kill -9, as far as a process can do it to itself."""


@contextmanager
def killed_at(count: int, *, half: bool) -> Generator[None]:
    """Die at the call ``count`` that alters a file; ``half`` of a write gets through."""
    calls = [0]

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] < count:
                return function(*arguments)
            if half and function is pwrite and calls[0] == count:
                fd, data, offset = arguments
                # Zeros are written a page at a time, and the kernel writes a page or doesn't.
                if any(data):
                    pwrite(fd, data[: len(data) // 2], offset)
            raise KilledError

        return call

    pwrite = os.pwrite
    with pytest.MonkeyPatch.context() as patch:
        for name in ("pwrite", "ftruncate", "truncate", "posix_fallocate", "rename"):
            patch.setattr(os, name, dying(getattr(os, name)))
        yield


def run_calls(root: Path, finished: list[bytes]) -> None:
    """Calls that overlap, over several segments; ``finished`` gets those whose record returned."""
    writer = open_writer(root, segment_bytes_max=1500, growth_bytes=512)
    try:
        for number in range(12):
            writer.announce(announced(number))
            if number >= 3:
                writer.record(recorded(number - 3))
                finished.append(recorded(number - 3).call_id)
    finally:
        die(writer)


@pytest.mark.parametrize("half", [False, True])
def test_a_writer_killed_at_any_point_loses_nothing(tmp_path, half):
    count, ended = 0, False
    while not ended:
        count += 1
        root, finished = tmp_path / f"{half}-{count}", []
        with killed_at(count, half=half):
            try:
                run_calls(root, finished)
            except KilledError:
                ended = False
            else:
                ended = True
        recover(root, FixedClock())
        assert set(found_in(root)[1]) >= set(finished)
        assert_whole(root)
        assert not ended or len(segments(root)) > 2
    assert count > 40


@pytest.mark.parametrize("half", [False, True])
def test_a_recovery_killed_at_any_point_can_be_run_again(tmp_path, half):
    count, ended = 0, False
    while not ended:
        count += 1
        root = tmp_path / f"{half}-{count}"
        leave_mess(root)
        with killed_at(count, half=half):
            try:
                recover(root, FixedClock())
            except KilledError:
                ended = False
            else:
                ended = True
        recover(root, FixedClock())
        assert_whole(root)
        calls, records = found_in(root)
        assert len(set(calls)) == len(records) == 26
    assert count > 20


def leave_mess(root: Path) -> None:
    """A torn tail over two pages; and a writer killed between a seal and the next segment."""
    writer = open_writer(root, "gateway-1")
    for number in range(22):
        writer.announce(announced(number))
    writer.record(recorded(0, user="x" * 6000))
    die(writer)
    (segment,) = segments(root)
    data = segment.path.read_bytes().rstrip(b"\0")
    segment.path.write_bytes(data[:-100] + bytes(5000))
    writer = open_writer(root, "gateway-2")
    for number in range(22, 26):
        writer.announce(announced(number))
    writer._seal()  # noqa: SLF001 - what a kill in the middle of a roll-over leaves
    die(writer)


def test_closing_needs_no_more_room_than_was_taken():
    """Recovery on a full disk can do its work: a closing record fits where a record would."""
    for expected in ({}, dict.fromkeys(map(str, range(16)), 2**53)):
        call = announced(1, expected=expected, customer="c" * 64)
        assert len(encode(closing(call))) <= len(encode(call)) + RECORD_BYTES_MORE


WRITE = """
import os, sys
from pathlib import Path
from steelyard.metering.journal import JournalWriter
from steelyard.values.clock import FixedClock
from tests.metering.journals import announced, recorded

writer = JournalWriter(
    Path(sys.argv[1]), sys.argv[2], durability="process", clock=FixedClock(),
    segment_bytes_max=20_000, growth_bytes=4096,
)
first = int(sys.argv[3])
for number in range(first, first + 1_000_000):
    writer.announce(announced(number))
    if number >= first + 10:
        writer.record(recorded(number - 10))
        os.write(1, b"%d\\n" % (number - 10))
"""


@pytest.mark.parametrize("round_", range(20))
def test_kill_9_loses_no_record_that_was_appended(tmp_path, round_):
    name, first = f"gateway-{round_}", round_ * 1_000_000
    command = [sys.executable, "-c", WRITE, str(tmp_path), name, str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        told = process.stdout.read(random.Random(round_).randint(1, 20_000))
        process.kill()
        told += process.stdout.read()
    returned = [int(number) for number in told.split(b"\n")[:-1]]
    report = recover(tmp_path, FixedClock())
    assert not report.damages
    assert [each.closed in {10, 11} for each in report.recovered] == [True]
    _, records = found_in(tmp_path)
    assert set(records) >= {recorded(number).call_id for number in returned}
    assert_whole(tmp_path)
