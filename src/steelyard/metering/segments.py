"""Segments: the journal's files, found in order and read to the end of what is whole."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from steelyard.metering import frames

LOCK_NAME = "lock"
"""The file in a writer's folder whose flock is held as long as the writer lives."""

_NAME = re.compile(r"(\d{8})\.seg", re.ASCII)
_WINDOW_BYTES = 1 << 20
_LOOKS = 3
_LOOK_AGAIN_S = 0.0002


class Segment(NamedTuple):
    """One file of the journal; ``name`` is its stable name, as in ``gateway-1f/00000001.seg``."""

    writer: str
    sequence: int
    path: Path

    @property
    def name(self) -> str:
        """The path below the journal's folder, with forward slashes."""
        return f"{self.writer}/{self.sequence:08d}.seg"


class Damage(msgspec.Struct, frozen=True):
    """Where a segment stops making sense, and why. Unit: bytes from the file's beginning."""

    path: Path
    offset: int
    reason: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.path} is damaged at byte {self.offset}: {self.reason}"


class DamageError(Exception):
    """A segment that can't be read on; everything before ``damage.offset`` has been read."""

    code = "journal_damaged"

    def __init__(self, damage: Damage) -> None:
        super().__init__(str(damage))
        self.damage = damage


class Tail(NamedTuple):
    """The end of what is whole in a segment without a seal, and how many torn bytes follow."""

    offset: int
    torn: int


def segment_path(root: Path, writer: str, sequence: int) -> Path:
    """Where a segment is."""
    return root / writer / f"{sequence:08d}.seg"


def segments(root: Path) -> list[Segment]:
    """Every segment below the journal's folder, in the order in which it is read: by name."""
    return [found for writer in writers(root) for found in of_writer(root, writer)]


def writers(root: Path) -> list[str]:
    """Name every writer that has a folder, in order."""
    if not root.is_dir():
        return []
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir())


def of_writer(root: Path, writer: str) -> list[Segment]:
    """One writer's segments, in order."""
    found = ((_NAME.fullmatch(path.name), path) for path in (root / writer).iterdir())
    return sorted(Segment(writer, int(m.group(1)), path) for m, path in found if m)


def seal_of(path: Path) -> frames.Seal | None:
    """The seal at the very end of a segment, found without reading the rest; None without one.

    The file may be sealed and cut to its size while we look.
    """
    with path.open("rb") as file:
        offset = os.fstat(file.fileno()).st_size - frames.SEAL_BYTES
        data = memoryview(os.pread(file.fileno(), frames.SEAL_BYTES, max(0, offset)))
    if offset < 0 or len(data) < frames.SEAL_BYTES:
        return None
    found = frames.header(data, offset)
    payload = data[frames.HEADER_BYTES : -1]
    if found is None or found.kind != frames.SEAL or crc32(payload) != found.payload_crc:
        return None
    return frames.unpack_seal(payload)


def head_of(path: Path) -> tuple[frames.Head, int]:
    """A segment's head, and the offset of the first frame after it.

    Raises: DamageError.
    """
    with path.open("rb") as file:
        return _head(path, file.fileno())


def read(path: Path, offset: int = 0) -> Iterator[tuple[int, int, frames.Item]]:
    """Each whole frame from ``offset`` on: its offset, the next one's, and what it holds.

    Ends after the seal, or where a live segment's writer has not written yet (also in the middle
    of a frame). Continue with the last "next offset".
    Raises: DamageError, after everything before the damage was given out.
    """
    with path.open("rb") as file:
        fd = file.fileno()
        at = offset or _head(path, fd)[1]
        window, base = memoryview(b""), at
        while True:
            step = _step(path, window[at - base :], at)
            if step is None:
                window, base = memoryview(_pread(fd, _wanted(fd, at), at)), at
                step = _step(path, window, at)
            if step is None:
                step = _look_again(path, fd, at)
            if isinstance(step, Tail):
                return
            yield step
            at = step[1]
            if isinstance(step[2], frames.Seal):
                return


def tail(path: Path, offset: int) -> Tail:
    """Tell what follows the last whole frame, which ends at ``offset``, of an unsealed segment.

    Raises: DamageError when it is neither nothing, nor zeros, nor a frame's torn beginning.
    """
    with path.open("rb") as file:
        step = _look_again(path, file.fileno(), offset)
        if isinstance(step, Tail) and not step.torn:
            return _tail(path, file.fileno(), offset)
        return step if isinstance(step, Tail) else Tail(offset, 0)


def check_after_seal(path: Path, offset: int) -> None:
    """Nothing, or zeros that were not given back in time, may follow a seal.

    Raises: DamageError.
    """
    with path.open("rb") as file:
        rest = _rest(file.fileno(), offset)
    if rest:
        raise DamageError(Damage(path, offset, "there are bytes after the seal"))


def _head(path: Path, fd: int) -> tuple[frames.Head, int]:
    data = memoryview(_pread(fd, 4096, 0))
    magic = len(frames.MAGIC)
    if bytes(data[:magic]) != frames.MAGIC:
        raise DamageError(Damage(path, 0, "it does not begin like a segment"))
    first = data[magic:]
    found = frames.header(first, magic) if len(first) >= frames.HEADER_BYTES else None
    if found is None or found.kind != frames.HEAD:
        raise DamageError(Damage(path, magic, "the head's header does not match its checksum"))
    payload = first[frames.HEADER_BYTES : frames.HEADER_BYTES + found.length]
    _check_payload(path, magic, found, first)
    try:
        return frames.decode_head(payload), magic + frames.AROUND_BYTES + found.length
    except msgspec.DecodeError as exc:
        raise DamageError(Damage(path, magic, f"the head makes no sense: {exc}")) from exc


def _step(path: Path, data: memoryview, at: int) -> tuple[int, int, frames.Item] | None:
    """Read the frame that ``data`` begins with; None when it is not all there or looks wrong."""
    if len(data) < frames.HEADER_BYTES:
        return None
    found = frames.header(data, at)
    if found is None or len(data) < found.length + frames.AROUND_BYTES:
        return None
    payload = data[frames.HEADER_BYTES : frames.HEADER_BYTES + found.length]
    end = frames.HEADER_BYTES + found.length
    if crc32(payload) != found.payload_crc or bytes(data[end : end + 1]) != frames.END:
        return None
    try:
        return at, at + end + 1, frames.item(found.kind, payload)
    except msgspec.DecodeError as exc:
        raise DamageError(Damage(path, at, f"the frame makes no sense: {exc}")) from exc


def _look_again(path: Path, fd: int, at: int) -> tuple[int, int, frames.Item] | Tail:
    """Decide what is at ``at``: a frame that has become whole meanwhile, or the live end.

    A frame that is being written while we read can look like anything for an instant; bytes once
    written never change, so damage is what looks the same again.
    """
    for look in range(_LOOKS):
        data = memoryview(_pread(fd, _wanted(fd, at), at))
        step = _step(path, data, at)
        if step is not None:
            return step
        if not any(data[: frames.HEADER_BYTES]):
            return Tail(at, 0)
        try:
            return _tail(path, fd, at)
        except DamageError:
            if look == _LOOKS - 1:
                raise
        time.sleep(_LOOK_AGAIN_S)
    raise AssertionError


def _tail(path: Path, fd: int, at: int) -> Tail:
    rest = _rest(fd, at)
    if not rest:
        return Tail(at, 0)
    if rest[0] not in frames.KINDS:
        raise DamageError(Damage(path, at, "no frame begins here"))
    padded = memoryview(rest.ljust(frames.HEADER_BYTES, b"\0"))
    found = frames.header(padded, at)
    if found is None:
        if len(rest) < frames.HEADER_BYTES:
            return Tail(at, len(rest))
        raise DamageError(Damage(path, at, "the frame's header does not match its checksum"))
    if len(rest) >= found.length + frames.AROUND_BYTES:
        _check_payload(path, at, found, padded)
    return Tail(at, len(rest))


def _check_payload(path: Path, at: int, found: frames.Header, data: memoryview) -> None:
    end = frames.HEADER_BYTES + found.length
    if crc32(data[frames.HEADER_BYTES : end]) != found.payload_crc:
        raise DamageError(Damage(path, at, "the frame's content does not match its checksum"))
    if bytes(data[end : end + 1]) != frames.END:
        raise DamageError(Damage(path, at, "the frame does not end where it should"))


def _rest(fd: int, at: int) -> bytes:
    """Everything from ``at`` to the last byte that is not zero."""
    parts: list[bytes] = []
    while chunk := os.pread(fd, _WINDOW_BYTES, at):
        parts.append(chunk)
        at += len(chunk)
    return b"".join(parts).rstrip(b"\0")


def _wanted(fd: int, at: int) -> int:
    """How much to read at ``at``: a window, or the whole of a frame that is larger."""
    data = os.pread(fd, frames.HEADER_BYTES, at)
    if len(data) < frames.HEADER_BYTES:
        return _WINDOW_BYTES
    found = frames.header(memoryview(data), at)
    return max(_WINDOW_BYTES, found.length + frames.AROUND_BYTES) if found else _WINDOW_BYTES


def _pread(fd: int, size: int, at: int) -> bytes:
    data = os.pread(fd, size, at)
    while len(data) < size and (more := os.pread(fd, size - len(data), at + len(data))):
        data += more
    return data
