"""Lines of files, however they are ended, packed or damaged."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.metering.traces import files
from steelyard.metering.traces.rows import LINE_BYTES_MAX, TraceError


def lines(path) -> list[str]:
    return list(files.lines(path, lambda _: None))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\nb", ["a", "b"]),
        (b"\n\na\n", ["", "", "a"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("价格\n".encode(), ["价格"]),
        (b"\xff\n", ["\udcff"]),
        (b"a\rb\n", ["a\rb"]),
    ],
)
def test_lines_lose_their_ends(tmp_path, data, expected):
    path = tmp_path / "trace"
    path.write_bytes(data)
    assert lines(path) == expected
    path.write_bytes(gzip.compress(data))
    assert lines(path) == expected


@given(st.lists(st.text("aé\r,", max_size=6)), st.integers(1, 7), st.booleans())
def test_lines_are_the_same_wherever_the_reading_breaks_off(tmp_path_factory, texts, size, crlf):
    texts = [text.rstrip("\r") for text in texts]
    path = tmp_path_factory.mktemp("lines") / "trace"
    path.write_bytes("".join(f"{text}\r\n" if crlf else f"{text}\n" for text in texts).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_CHUNK_BYTES", size)
        assert lines(path) == texts


def test_a_line_without_end_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHUNK_BYTES", 1 << 12)
    path = tmp_path / "trace"
    path.write_bytes(b"a\n" + b"x" * (LINE_BYTES_MAX + 3 * (1 << 12)) + b"\nb\n")
    first, cut, last = lines(path)
    assert (first, last) == ("a", "b")
    assert LINE_BYTES_MAX < len(cut) <= LINE_BYTES_MAX + 2 * (1 << 12)


def test_a_damaged_packed_file_gives_the_lines_before_the_damage(tmp_path):
    whole = gzip.compress(b"".join(b"row %d\n" % number for number in range(200_000)))
    path = tmp_path / "trace.gz"
    path.write_bytes(whole[: len(whole) // 2])
    found = files.lines(path, lambda _: None)
    assert [next(found), next(found)] == ["row 0", "row 1"]
    with pytest.raises(TraceError, match="damaged"):
        list(found)


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress(b"a\n" * 1_000_000))
    told = []
    assert len(list(files.lines(path, told.append))) == 1_000_000
    assert told == sorted(told)
    assert told[-1] == path.stat().st_size
