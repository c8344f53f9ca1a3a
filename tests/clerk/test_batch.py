from __future__ import annotations

import os

import pytest

from steelyard.clerk.batch import Journal, reread, settle
from steelyard.ledger.chain import Range
from steelyard.metering import segments
from steelyard.metering.journal import JournalWriter
from steelyard.metering.segments import DamageError
from steelyard.values.clock import FixedClock
from steelyard.values.usage import Announcement
from tests.clerk.desk import calls, journal

ANNOUNCED = Announcement(bytes(16), 1, 0, 1, "acme", "acme-2026", "", "m", "d", {})


def gathered(root, cursors, calls_max):
    found = Journal(root / "journal").gather(cursors, calls_max)
    return [(each.segment, each.start, each.end) for each in found.ranges], len(found.records)


def test_a_batch_goes_on_where_the_last_ended(tmp_path):
    journal(tmp_path, "live-1", calls(5), blocks=False)
    journal(tmp_path, "live-2", calls(5, seed=1), blocks=False)
    first, second = "live-1/00000001.seg", "live-2/00000001.seg"
    sizes = {name: (tmp_path / "journal" / name).stat().st_size for name in (first, second)}
    ((name, start, end),), count = gathered(tmp_path, {}, 3)
    assert (name, start, count) == (first, 0, 3)
    (rest, (name, start, after)), count = gathered(tmp_path, {first: end}, 3)
    assert (rest, name, start, count) == ((first, end, sizes[first]), second, 0, 3)
    ranges, count = gathered(tmp_path, {first: sizes[first], second: after}, 99)
    assert (ranges, count) == ([(second, after, sizes[second])], 4)
    assert gathered(tmp_path, sizes, 3) == ([], 0)


def test_what_is_no_record_makes_no_batch(tmp_path):
    with JournalWriter(
        tmp_path / "journal", "live-1", durability="process", clock=FixedClock()
    ) as writer:
        assert gathered(tmp_path, {}, 3) == ([], 0)
        writer.announce(ANNOUNCED)
        assert gathered(tmp_path, {}, 3) == ([], 0)
        writer.record(calls(1)[0])
        ((name, start, _),), count = gathered(tmp_path, {}, 3)
        assert (name, start, count) == ("live-1/00000001.seg", 0, 1)


def test_a_segment_that_is_read_to_its_seal_is_not_opened_again(tmp_path, monkeypatch):
    journal(tmp_path, "live-1", calls(5))
    name = "live-1/00000001.seg"
    size = (tmp_path / "journal" / name).stat().st_size
    opened: list[str] = []
    read = segments.read

    def counted(path, offset=0):
        opened.append(path.name)
        return read(path, offset)

    monkeypatch.setattr(segments, "read", counted)
    fresh, restarted = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    assert len(fresh.gather({}, 100).records) == 5
    for _ in range(3):
        assert fresh.gather({name: size}, 100).records == []
        assert restarted.gather({name: size}, 100).records == []
    assert len(opened) == 2, "once by each"


def test_the_frontier_is_where_records_end(tmp_path):
    journal(tmp_path, "live-1", calls(5), blocks=False)
    name = "live-1/00000001.seg"
    found = Journal(tmp_path / "journal").frontier({})
    assert found[name] < (tmp_path / "journal" / name).stat().st_size, "the seal is no record"
    assert Journal(tmp_path / "journal").frontier(found) == {}


def test_what_is_booked_can_be_read_again(tmp_path):
    journal(tmp_path, "live-1", calls(5), blocks=False)
    root = tmp_path / "journal"
    found = Journal(root).gather({}, 3)
    assert reread(root, found.ranges) == found
    assert found.records == calls(5)[:3]


@pytest.mark.parametrize(
    ("booked", "reason"),
    [
        (Range("live-1/00000001.seg", 0, 99), "no frame ends at byte 99"),
        (Range("live-1/00000001.seg", 7, 99), "no frame begins here"),
        (Range("live-1/00000001.seg", 0, 10**6), "no frame ends at byte 1000000"),
        (Range("live-1/00000002.seg", 0, 99), "the segment is gone"),
    ],
)
def test_what_was_never_a_range_is_refused(tmp_path, booked, reason):
    journal(tmp_path, "live-1", calls(5), blocks=False)
    with pytest.raises(DamageError, match=reason):
        reread(tmp_path / "journal", (booked,))


def test_files_and_new_names_are_on_the_disk(tmp_path, monkeypatch):
    synced: list[str] = []
    names = {}
    opened = os.open

    def remember(path, *args, **named):
        fd = opened(path, *args, **named)
        names[fd] = os.path.relpath(path, tmp_path)
        return fd

    monkeypatch.setattr(os, "open", remember)
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(names[fd]))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.seg").touch()
    settle(tmp_path, (Range("a/1.seg", 0, 5), Range("b/1.seg", 5, 9)))
    assert synced == ["a/1.seg", "a", ".", "b/1.seg"]
