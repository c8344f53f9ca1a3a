"""The journal's writer: one process appends, nobody waits for anybody."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal, Self

from steelyard.metering import frames
from steelyard.metering.appending import NEXT_NAME, OpenSegment, sync, sync_folder
from steelyard.metering.segments import LOCK_NAME, segment_path
from steelyard.values.clock import Clock
from steelyard.values.facts import Fact
from steelyard.values.usage import Announcement, UsageRecord

Durability = Literal["process", "disk"]
"""What ``settled`` waits for: nothing, the kernel has it; or a group fdatasync."""

SEGMENT_BYTES_MAX = 64 << 20
GROWTH_BYTES = 1 << 20
"""How much room a segment takes from the disk at a time."""

RECORD_BYTES_MORE = 2048
"""How much longer than its announcement a record may be and still have its room taken ahead."""

FULL_RETRY_US = 1_000_000
"""How long after a refusal the disk is not asked again."""

_RECORD_MORE = RECORD_BYTES_MORE + frames.AROUND_BYTES
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


class JournalError(Exception):
    """The journal can't take what it was given, and will not until a new writer begins."""

    code: ClassVar = "journal_failed"


class JournalFullError(JournalError):
    """There is no room for another call's record; nothing was written, and later there may be."""

    code: ClassVar = "journal_full"


class WriterTakenError(JournalError):
    """Another process writes, or wrote, under this writer id."""

    code: ClassVar = "journal_writer_taken"


class JournalWriter:
    """Appends to the segments of one writer id, which is its alone and forever.

    Not for several threads; ``settled`` may have one fdatasync running in a thread meanwhile.
    Unit: ``segment_bytes_max`` and ``growth_bytes`` bytes.
    Raises: WriterTakenError; JournalFullError; OSError when the folder can't be made.
    """

    def __init__(
        self,
        root: Path,
        writer_id: str,
        *,
        durability: Durability,
        clock: Clock,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        growth_bytes: int = GROWTH_BYTES,
    ) -> None:
        self.writer_id = writer_id
        self.durability: Durability = durability
        self._folder = root / writer_id
        self._clock = clock
        self._segment_bytes_max = segment_bytes_max
        self._growth_bytes = growth_bytes
        self._failure: str | None = None
        self._full_until_us: int | None = None
        self._running: dict[bytes, bytes] = {}
        """Calls that were announced and have no record yet, with their latest announcement."""
        self._kept = 0
        """Room for the records of the running calls. Unit: bytes."""
        self._written = 0
        self._on_disk = 0
        self._disk_lock = threading.Lock()
        self._flushing: asyncio.Future[None] | None = None
        self._lock_fd = _take(self._folder, writer_id)
        try:
            self._sequence, self._previous = 1, bytes(32)
            self._segment = self._create()
            self._begin()
        except OSError as exc:
            with suppress(OSError):
                (self._folder / LOCK_NAME).unlink()
                self._folder.rmdir()
            os.close(self._lock_fd)
            raise self._refusal(exc) from exc

    @property
    def written_bytes(self) -> int:
        """How much was appended so far, frames and all."""
        return self._written

    def announce(self, announcement: Announcement) -> None:
        """Say that an attempt begins, and take the room for the record of its call.

        Raises: JournalFullError, with nothing written; JournalError.
        """
        payload, call_id = frames.encode(announcement), announcement.call_id
        more = len(payload) + _RECORD_MORE
        before = self._running.get(call_id)
        if before is not None:
            more -= len(before) + _RECORD_MORE
        self._make_room(len(payload) + frames.AROUND_BYTES, more)
        self._append(frames.ANNOUNCEMENT, payload, 0)
        self._running[call_id] = payload
        self._kept += more

    def record(self, record: UsageRecord) -> None:
        """Write the record of a call; one that was announced needs no room any more.

        Raises: JournalFullError when it was not announced, or is longer than RECORD_BYTES_MORE
        allows, and there is no room; JournalError.
        """
        payload, call_id = frames.encode(record), record.call_id
        size = len(payload) + frames.AROUND_BYTES
        announced = self._running.get(call_id)
        kept = len(announced) + _RECORD_MORE if announced is not None else 0
        if size > kept:
            self._make_room(size, -kept)
        self._append(frames.RECORD, payload, 1)
        if announced is not None:
            del self._running[call_id]
            self._kept -= kept

    def block(self, records: Sequence[UsageRecord]) -> None:
        """Write many records that were never announced, BLOCK_RECORDS_MAX to a frame.

        Raises: JournalFullError, with the frames before written; JournalError.
        """
        for start in range(0, len(records), frames.BLOCK_RECORDS_MAX):
            part = records[start : start + frames.BLOCK_RECORDS_MAX]
            payload = frames.encode(part)
            self._make_room(len(payload) + frames.AROUND_BYTES, 0)
            self._append(frames.BLOCK, payload, len(part))

    def fact(self, fact: Fact) -> None:
        """Write down a fact.

        Raises: JournalFullError, with nothing written; JournalError.
        """
        payload = frames.encode(fact)
        self._make_room(len(payload) + frames.AROUND_BYTES, 0)
        self._append(frames.FACT, payload, 0)

    def turn_over(self) -> None:
        """Seal the segment, if it holds anything of its own, and go on in another.

        Raises: JournalFullError, and goes on in the same; JournalError.
        """
        self._check()
        if self._segment.frames > self._carried:
            try:
                following = self._create()
            except OSError as exc:
                raise self._refusal(exc) from exc
            self._roll_over(following)

    def sync(self) -> None:
        """Wait until everything written is on the disk, if that is this writer's durability.

        Raises: JournalError.
        """
        if self.durability == "disk" and self._on_disk < self._written:
            self._flush()
        self._check()

    async def settled(self) -> None:
        """Do as ``sync`` does without blocking: one fdatasync at a time, shared by all who wait.

        Raises: JournalError.
        """
        if self.durability == "disk":
            target = self._written
            while self._on_disk < target and self._failure is None:
                if self._flushing is None or self._flushing.done():
                    loop = asyncio.get_running_loop()
                    self._flushing = loop.run_in_executor(None, self._flush)
                await asyncio.shield(self._flushing)
        if self._failure is not None:
            self._check()

    def close(self) -> None:
        """Seal the last segment; should calls be running still, leave it to recovery.

        Raises: JournalError.
        """
        if self._lock_fd < 0:
            return
        try:
            if self._failure is None and not self._running:
                self._seal()
                self.sync()
        except OSError as exc:
            raise self._refusal(exc) from exc
        finally:
            with self._disk_lock:
                os.close(self._segment.fd)
                os.close(self._lock_fd)
                self._lock_fd = -1
                self._failure = self._failure or "it is closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._failure is not None:
            msg = f"the journal of {self.writer_id} takes nothing any more: {self._failure}"
            raise JournalError(msg)

    def _refusal(self, exc: OSError) -> JournalError:
        """Tell a full disk, which may have room later, from anything else, which ends us."""
        if exc.errno in _FULL:
            self._full_until_us = self._clock.monotonic_us() + FULL_RETRY_US
            return JournalFullError(f"no room in the journal of {self.writer_id}: {exc.strerror}")
        self._failure = str(exc)
        return JournalError(f"the journal of {self.writer_id} failed: {exc}")

    def _make_room(self, size: int, more: int) -> None:
        """See to it that ``size`` bytes fit now, and ``more`` than is kept can be kept."""
        if self._failure is not None:
            self._check()
        segment = self._segment
        rolls = segment.offset + size > self._segment_bytes_max and segment.frames > self._carried
        needed = size + self._kept + more + frames.SEAL_BYTES
        if segment.offset + needed <= segment.allocated and not rolls:
            return
        if self._full_until_us is not None:
            if self._clock.monotonic_us() < self._full_until_us:
                msg = f"no room in the journal of {self.writer_id} a moment ago"
                raise JournalFullError(msg)
            self._full_until_us = None
        try:
            if rolls:
                self._roll_over(self._create())
            self._segment.take(self._segment.offset + needed)
        except OSError as exc:
            raise self._refusal(exc) from exc

    def _append(self, kind: bytes, payload: bytes, records: int) -> None:
        if self._failure is not None:
            self._check()
        try:
            self._written += self._segment.append(kind, payload, records)
        except OSError as exc:
            # What is in the file now is unknown; another frame behind it would hide that.
            self._failure = str(exc)
            self._check()

    def _create(self) -> OpenSegment:
        """Take the room for all that a new segment begins with, and must be able to take."""
        carried = sum(len(payload) + frames.AROUND_BYTES for payload in self._running.values())
        room = frames.HEAD_BYTES_MAX + carried + self._kept + frames.SEAL_BYTES
        return OpenSegment.create(self._folder, room=room, growth_bytes=self._growth_bytes)

    def _roll_over(self, following: OpenSegment) -> None:
        with self._disk_lock:
            try:
                self._seal()
                if self.durability == "disk":
                    sync(self._segment.fd)
                os.close(self._segment.fd)
                self._segment = following
                self._sequence += 1
                self._begin()
            except OSError as exc:
                self._failure = str(exc)
        self._check()

    def _begin(self) -> None:
        """Write the head, and the calls that are running, and give the segment its name.

        They are announced again, so that recovery need only ever read a writer's last segment.
        """
        head = frames.Head(
            version=1,
            writer=self.writer_id,
            sequence=self._sequence,
            at_us=self._clock.wall_us(),
            previous=self._previous,
        )
        self._segment.begin(head)
        for payload in self._running.values():
            self._segment.append(frames.ANNOUNCEMENT, payload)
        self._carried = self._segment.frames
        name = segment_path(self._folder.parent, self.writer_id, self._sequence)
        (self._folder / NEXT_NAME).rename(name)
        if self.durability == "disk":
            sync(self._segment.fd)
            sync_folder(self._folder)

    def _seal(self) -> None:
        running = len(self._running)
        self._previous = self._segment.seal(at_us=self._clock.wall_us(), running=running)
        self._written += frames.SEAL_BYTES

    def _flush(self) -> None:
        with self._disk_lock:
            if self._failure is not None:
                return
            target = self._written
            try:
                sync(self._segment.fd)
            except OSError as exc:
                # After a failed sync the kernel may forget the pages: what is on disk is unknown.
                self._failure = str(exc)
            else:
                self._on_disk = target


def _take(folder: Path, writer_id: str) -> int:
    """Make the writer's folder, which nobody may have made before, and hold its lock."""
    assert not set(writer_id) & set("/\\\0 .")
    assert writer_id
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError as exc:
        msg = f"the journal has a writer {writer_id} already; each process takes a new id"
        raise WriterTakenError(msg) from exc
    fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    # Only a recovery that looks at this empty folder can hold it, and not for long.
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd
