"""Recovery: what a killed writer left is closed, so that each announced call has its record."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from steelyard.metering import frames
from steelyard.metering.appending import NEXT_NAME, OpenSegment, sync, sync_folder
from steelyard.metering.segments import (
    LOCK_NAME,
    Damage,
    DamageError,
    Segment,
    check_after_seal,
    head_of,
    of_writer,
    read,
    seal_of,
    segment_path,
    tail,
    writers,
)
from steelyard.values.clock import Clock
from steelyard.values.usage import Announcement, UsageRecord

_PAGE_BYTES = 4096
_GROWTH_BYTES = 4096


class Recovered(msgspec.Struct, frozen=True):
    """A segment that recovery sealed. Unit: ``cut`` bytes of a torn write, ``closed`` calls."""

    segment: str
    closed: int
    cut: int


class Recovery(msgspec.Struct, frozen=True):
    """What a recovery did: sealed these, left the damaged ones and the living ones alone."""

    recovered: tuple[Recovered, ...]
    damages: tuple[Damage, ...]
    live: tuple[str, ...]


class _Left(msgspec.Struct):
    """What a dead writer's last segment says."""

    running: dict[bytes, Announcement]
    frames: int
    records: int
    end: int
    seal: frames.Seal | None


def recover(root: Path, clock: Clock) -> Recovery:
    """Close what dead writers left behind; the living are left alone.

    Killed at any point it can be run again; of two at once, each writer is closed by one.
    A damaged segment is reported and left as it is, and the others are closed.
    """
    recovered: list[Recovered] = []
    damages: list[Damage] = []
    live: list[str] = []
    for writer in writers(root):
        if _finished(root, writer):
            continue
        lock = os.open(root / writer / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _finished(root, writer):
                recovered.append(_close(root, of_writer(root, writer)[-1], clock))
        except BlockingIOError:
            live.append(writer)
        except DamageError as exc:
            damages.append(exc.damage)
        finally:
            os.close(lock)
    return Recovery(tuple(recovered), tuple(damages), tuple(live))


def is_over(root: Path, writer: str) -> bool:
    """Whether a writer is dead and all that it announced has a record: its journal is whole."""
    if not of_writer(root, writer):
        return False
    lock = os.open(root / writer / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _finished(root, writer)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)


def closing(announced: Announcement) -> UsageRecord:
    """The record of a call whose end was never seen: free to the caller, its cost estimated."""
    return UsageRecord(
        call_id=announced.call_id,
        at_us=announced.at_us,
        edition=announced.edition,
        customer=announced.customer,
        contract=announced.contract,
        key_id=announced.key_id,
        model=announced.model,
        deployment=announced.deployment,
        outcome="interrupted",
        meters={},
        sources=dict.fromkeys(announced.expected, "estimated"),
        produced=announced.expected,
        origin="recovered",
        attempts=announced.attempt,
        error="interrupted",
        tries=announced.tries,
        asked=announced.asked,
        shadow_of=announced.shadow_of,
    )


def _finished(root: Path, writer: str) -> bool:
    found = of_writer(root, writer)
    if not found:
        return True
    seal = seal_of(found[-1].path)
    return seal is not None and seal.running == 0


def _close(root: Path, last: Segment, clock: Clock) -> Recovered:
    left = _read(last)
    try:
        if left.seal is None:
            return _finish(last, left, clock)
        check_after_seal(last.path, left.end)
        os.truncate(last.path, left.end)
        if not left.running:
            return Recovered(last.name, 0, 0)
        return _follow(root, last, left, left.seal, clock)
    except OSError as exc:
        reason = f"recovery could not write: {exc.strerror}"
        raise DamageError(Damage(last.path, left.end, reason)) from exc


def _read(last: Segment) -> _Left:
    """Read a segment whole.

    A segment opens with the calls that the one before left running, so it tells of all.
    Raises: DamageError.
    """
    left = _Left({}, 0, 0, head_of(last.path)[1], None)
    for _, end, item in read(last.path):
        left.end = end
        if isinstance(item, frames.Seal):
            left.seal = item
            break
        left.frames += 1
        if isinstance(item, Announcement):
            left.running[item.call_id] = item
        elif isinstance(item, UsageRecord):
            left.records += 1
            left.running.pop(item.call_id, None)
        elif isinstance(item, tuple):
            left.records += len(item)
    return left


def _finish(last: Segment, left: _Left, clock: Clock) -> Recovered:
    """Close an unsealed segment in the room that its writer took."""
    torn = tail(last.path, left.end).torn
    fd = os.open(last.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        _zero(fd, left.end, torn)
        segment = OpenSegment(fd, growth_bytes=_GROWTH_BYTES, hashed=os.pread(fd, left.end, 0))
        segment.frames, segment.records = left.frames, left.records
        _write_closings(segment, left, clock, cut=torn)
    finally:
        os.close(fd)
    return Recovered(last.name, len(left.running), torn)


def _follow(root: Path, last: Segment, left: _Left, seal: frames.Seal, clock: Clock) -> Recovered:
    """Close the calls that a sealed segment left running in a segment of their own."""
    folder = root / last.writer
    room = frames.HEAD_BYTES_MAX + frames.SEAL_BYTES
    segment = OpenSegment.create(folder, room=room, growth_bytes=_GROWTH_BYTES)
    try:
        head = frames.Head(
            version=1,
            writer=last.writer,
            sequence=last.sequence + 1,
            at_us=clock.wall_us(),
            previous=seal.sha256,
        )
        segment.begin(head)
        for announced in left.running.values():
            _append(segment, frames.ANNOUNCEMENT, announced)
        name = segment_path(root, last.writer, last.sequence + 1)
        (folder / NEXT_NAME).rename(name)
        _write_closings(segment, left, clock, cut=0)
        sync_folder(folder)
    finally:
        os.close(segment.fd)
    return Recovered(f"{last.writer}/{name.name}", len(left.running), 0)


def _write_closings(segment: OpenSegment, left: _Left, clock: Clock, *, cut: int) -> None:
    for announced in left.running.values():
        _append(segment, frames.RECORD, closing(announced))
    segment.take(segment.offset + frames.SEAL_BYTES)
    segment.seal(at_us=clock.wall_us(), cut=cut, recovered=True)
    sync(segment.fd)


def _append(segment: OpenSegment, kind: bytes, what: Announcement | UsageRecord) -> None:
    payload = frames.encode(what)
    segment.take(segment.offset + len(payload) + frames.AROUND_BYTES)
    segment.append(kind, payload, records=int(kind == frames.RECORD))


def _zero(fd: int, start: int, size: int) -> None:
    """Undo a torn write from its end backwards, a page at a time.

    Killed in between, what is left is still a frame's beginning, and not damage.
    """
    end = start + size
    while end > start:
        page = max(start, (end - 1) // _PAGE_BYTES * _PAGE_BYTES)
        os.pwrite(fd, bytes(end - page), page)
        end = page
