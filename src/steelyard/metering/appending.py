"""One segment being written: bytes into room that was taken before, and in the end a seal."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Final
from zlib import crc32

from steelyard.metering import frames
from steelyard.metering.frames import CHECK, END, FRAME_BYTES_MAX, FRONT, OFFSET_MASK

NEXT_NAME = "next"
"""What a segment is called until its room is taken and the one before it is sealed."""


_NO_PROMISE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class OpenSegment:
    """The segment that a writer, or a recovery, appends to. Unit: ``growth_bytes`` bytes.

    The file ends where the room that was taken from the disk ends; beyond ``offset`` it is zeros.
    """

    def __init__(self, fd: int, *, growth_bytes: int, hashed: bytes = b"") -> None:
        self.fd = fd
        self.offset = len(hashed)
        self.frames = 0
        self.records = 0
        self.allocated = os.fstat(fd).st_size
        self._growth_bytes = growth_bytes
        self._hash = hashlib.sha256(hashed)

    @classmethod
    def create(cls, folder: Path, *, room: int, growth_bytes: int) -> OpenSegment:
        """Make an empty, unnamed segment with ``room`` bytes taken, and nothing in it.

        Raises: OSError, with nothing left behind.
        """
        path = folder / NEXT_NAME
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        segment = cls(fd, growth_bytes=growth_bytes)
        try:
            segment.take(room)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        return segment

    def begin(self, head: frames.Head) -> None:
        """Write the head."""
        payload = frames.encode(head)
        assert len(payload) <= frames.HEAD_BYTES_MAX - frames.AROUND_BYTES
        start = len(frames.MAGIC)
        self._write(frames.MAGIC + _framed(frames.HEAD, payload, start))

    def take(self, end: int) -> None:
        """Take room from the disk up to ``end``, in whole steps.

        Raises: OSError, with what is written unharmed.
        """
        if end <= self.allocated:
            return
        size = -(-end // self._growth_bytes) * self._growth_bytes
        try:
            os.posix_fallocate(self.fd, self.allocated, size - self.allocated)
        except (AttributeError, OSError) as exc:
            # Where neither the system nor the file system can promise room, there is none to keep.
            if isinstance(exc, OSError) and exc.errno not in _NO_PROMISE:
                raise
            os.ftruncate(self.fd, size)
        self.allocated = size

    def append(self, kind: bytes, payload: bytes, records: int = 0) -> int:
        """Write one frame, holding ``records`` records; its length comes back.

        Raises: OSError, after which nothing may be appended any more.
        """
        data = _framed(kind, payload, self.offset)
        self._write(data)
        self.frames += 1
        self.records += records
        return len(data)

    def seal(self, *, at_us: int, running: int = 0, cut: int = 0, recovered: bool = False) -> bytes:
        """Write the seal and give the rest of the room back; the hash in the seal comes back.

        Raises: OSError, after which nothing may be appended any more.
        """
        seal = frames.Seal(
            frames=self.frames,
            records=self.records,
            running=running,
            at_us=at_us,
            cut=cut,
            recovered=recovered,
            sha256=self._hash.digest(),
        )
        self.append(frames.SEAL, frames.pack_seal(seal))
        os.ftruncate(self.fd, self.offset)
        return seal.sha256

    def _write(self, data: bytes) -> None:
        offset, size = self.offset, len(data)
        assert offset + size <= self.allocated, "room comes before need"
        written = os.pwrite(self.fd, data, offset)
        while written < size:
            written += os.pwrite(self.fd, data[written:], offset + written)
        self._hash.update(data)
        self.offset = offset + size


def sync(fd: int) -> None:
    """Have a file's bytes on the disk.

    Raises: OSError.
    """
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder, and its own in its parent, on the disk."""
    for each in (folder, folder.parent):
        fd = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _framed(kind: bytes, payload: bytes, offset: int) -> bytes:
    """One whole frame, made for ``offset`` and nowhere else."""
    assert len(payload) <= _SIZE_MAX
    front = _front(kind, len(payload), crc32(payload))
    return front + _check(crc32(front, offset & _MASK)) + payload + _END


_front: Final = FRONT.pack
_check: Final = CHECK.pack
_END: Final = END
_MASK: Final = OFFSET_MASK
_SIZE_MAX: Final = FRAME_BYTES_MAX
