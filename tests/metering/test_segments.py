"""What is written is read back, and what is not whole is found, byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.metering.frames import MAGIC, SEAL_BYTES, Seal
from steelyard.metering.inspection import Inspected, verify
from steelyard.metering.segments import Damage, DamageError, read, seal_of, segments, tail
from tests.metering.journals import ANNOUNCEMENTS, RECORDS, announced, items, open_writer, recorded


def write_small(root: Path) -> None:
    """A call, a running one, a block: every kind of frame."""
    writer = open_writer(root)
    writer.announce(announced(1))
    writer.announce(announced(2))
    writer.record(recorded(1))
    writer.block([recorded(3), recorded(4)])


def seal_small(root: Path) -> None:
    with open_writer(root) as writer:
        writer.announce(announced(1))
        writer.record(recorded(1))
        writer.block([recorded(3), recorded(4)])


def damages(root: Path) -> list[Damage]:
    return [found for found in verify(root) if isinstance(found, Damage)]


@given(
    written=st.lists(ANNOUNCEMENTS | RECORDS | st.lists(RECORDS, min_size=1, max_size=5)),
    segment_bytes_max=st.sampled_from([500, 5000, 1 << 20]),
)
def test_what_is_written_is_read_back(written, segment_bytes_max):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with open_writer(root, segment_bytes_max=segment_bytes_max) as writer:
            for each in written:
                if isinstance(each, list):
                    writer.block(each)
                elif hasattr(each, "attempt"):
                    writer.announce(each)
                else:
                    writer.record(each)
        expected = [tuple(each) if isinstance(each, list) else each for each in written]
        assert [*once(root)] == expected
        assert not damages(root)


def once(root: Path) -> Iterator[object]:
    """Everything in the journal, without the calls that a new segment repeats."""
    carried = 0
    for segment in segments(root):
        found = [item for _, _, item in read(segment.path)]
        seal = seal_of(segment.path)
        yield from (item for item in found[carried:] if not isinstance(item, Seal))
        carried = 0 if seal is None else seal.running


def test_reading_goes_on_where_it_stopped(tmp_path):
    writer = open_writer(tmp_path)
    writer.record(recorded(1))
    (segment,) = segments(tmp_path)
    ((_, after, first),) = read(segment.path)
    assert first == recorded(1)
    assert not list(read(segment.path, after))
    writer.record(recorded(2))
    assert [item for _, _, item in read(segment.path, after)] == [recorded(2)]
    writer.close()
    *_, (_, end, seal) = read(segment.path)
    assert isinstance(seal, Seal)
    assert seal_of(segment.path) == seal
    assert end == segment.path.stat().st_size


def test_a_frame_larger_than_a_window_is_read(tmp_path):
    block = [recorded(i, user="x" * 1000) for i in range(4000)]
    with open_writer(tmp_path) as writer:
        writer.record(recorded(0))
        writer.block(block)
    assert items(tmp_path)[:-1] == [recorded(0), tuple(block)]


@pytest.mark.parametrize("write", [write_small, seal_small])
def test_every_flipped_bit_is_found_and_located(tmp_path, write):
    write(tmp_path)
    (segment,) = segments(tmp_path)
    whole = segment.path.read_bytes()
    used = whole.rstrip(b"\0")
    steps = [(offset, following) for offset, following, _ in read(segment.path)]
    starts = sorted({0, *(start for start, _ in steps), steps[-1][1]})
    for position in range(min(len(used) + 40, len(whole))):
        for bit in (1 << position % 8, 0xFF):
            flipped = bytearray(whole)
            flipped[position] ^= bit
            segment.path.write_bytes(flipped)
            (found,) = damages(tmp_path)
            frame = max(start for start in starts if start <= position)
            assert found.path == segment.path
            assert found.offset in {frame, len(MAGIC)} if frame == 0 else found.offset == frame
    segment.path.write_bytes(whole)
    assert not damages(tmp_path)


def test_reading_gives_everything_before_the_damage(tmp_path):
    seal_small(tmp_path)
    (segment,) = segments(tmp_path)
    data = bytearray(segment.path.read_bytes())
    (_, first, _), (second, _, _), *_ = read(segment.path)
    assert first == second
    data[second + 20] ^= 1
    segment.path.write_bytes(data)
    given_out = []
    with pytest.raises(DamageError) as caught:
        given_out.extend(item for _, _, item in read(segment.path))
    assert caught.value.damage == Damage(
        segment.path, second, "the frame's content does not match its checksum"
    )
    assert str(segment.path) in str(caught.value)


@pytest.mark.parametrize("zeros", [0, 100])
def test_torn_at_every_length_reads_to_the_last_whole_frame(tmp_path, zeros):
    write_small(tmp_path)
    (segment,) = segments(tmp_path)
    whole = segment.path.read_bytes().rstrip(b"\0")
    steps = [*read(segment.path)]
    for length in range(steps[0][0], len(whole) + 1):
        # What the torn write ends in may be zeros itself: they can't be told from room.
        kept = whole[:length].rstrip(b"\0")
        segment.path.write_bytes(whole[:length] + bytes(zeros))
        expected = [item for _, end, item in steps if end <= length]
        found = [*read(segment.path)]
        assert [item for _, _, item in found] == expected
        end = found[-1][1] if found else steps[0][0]
        assert tail(segment.path, end).torn == max(0, len(kept) - end)
        (inspected,) = verify(tmp_path)
        assert isinstance(inspected, Inspected)
        assert inspected.torn == max(0, len(kept) - end)
        assert inspected.seal is None


def test_zeros_with_something_behind_are_no_end(tmp_path):
    write_small(tmp_path)
    (segment,) = segments(tmp_path)
    *_, (_, end, _) = read(segment.path)
    data = bytearray(segment.path.read_bytes())
    data[end + 2000] = 7
    segment.path.write_bytes(data)
    (found,) = damages(tmp_path)
    assert found.offset == end


def test_bytes_after_the_seal_are_damage(tmp_path):
    seal_small(tmp_path)
    (segment,) = segments(tmp_path)
    with segment.path.open("ab") as file:
        file.write(b"\0\0\0x")
    (found,) = damages(tmp_path)
    assert found.reason == "there are bytes after the seal"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "segment 2 of gateway-1 is missing"),
        (lambda path: path.write_bytes(next_of(path).read_bytes()), "it says that it is segment 3"),
        (lambda path: path.write_bytes(path.read_bytes()[:-SEAL_BYTES]), "without a seal"),
        (lambda path: path.write_bytes(b""), "it does not begin like a segment"),
    ],
)
def test_segments_follow_each_other(tmp_path, change, reason):
    with open_writer(tmp_path, segment_bytes_max=500) as writer:
        for number in range(4):
            writer.record(recorded(number))
    assert not damages(tmp_path)
    change(segments(tmp_path)[1].path)
    found, *more = damages(tmp_path)
    assert reason in found.reason
    assert not more


def next_of(path: Path) -> Path:
    return path.with_name("00000003.seg")


def test_a_segment_from_another_history_is_found(tmp_path):
    for root, first in ((tmp_path / "a", 0), (tmp_path / "b", 10)):
        with open_writer(root, segment_bytes_max=500) as writer:
            for number in range(first, first + 3):
                writer.record(recorded(number))
    name = segments(tmp_path / "a")[0].name
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    (found,) = damages(tmp_path / "a")
    assert found.reason == "the segment before it is not the one that it followed"


def test_segments_are_in_order_of_name(tmp_path):
    for name in ("import-b", "gateway-2", "gateway-1"):
        with open_writer(tmp_path, name, segment_bytes_max=500) as writer:
            for number in range(3):
                writer.record(recorded(number))
    names = [segment.name for segment in segments(tmp_path)]
    assert names == sorted(names)
    assert names[:2] == ["gateway-1/00000001.seg", "gateway-1/00000002.seg"]
    assert not segments(tmp_path / "nowhere")
