"""Shipping: a journal that leaves its machine as sealed segments, and arrives where it is booked.

A segment is put into the object store under its own name, and only then noted in the index: what is
noted is there. Killed in between, it is put again, the same bytes. What is fetched is compared with
the hash that was noted, so that neither the way nor the object store need be trusted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from steelyard.clerk import parquet
from steelyard.ledger.chain import Batch
from steelyard.metering import recovery, segments
from steelyard.metering.frames import Seal
from steelyard.metering.segments import Damage, DamageError, Segment
from steelyard.values.usage import Announcement

SEGMENTS_AT_ONCE_MAX = 256
"""How many segments are fetched or noted before the next look."""

_NEXT_SUFFIX = ".next"


class Shipped(msgspec.Struct, frozen=True):
    """A segment that left its machine. Unit: bytes; ``frontier`` is where its last record ends."""

    name: str
    size: int
    sha256: bytes
    frontier: int


class Index(Protocol):
    """What was shipped, as everybody knows it."""

    def note(self, segment: Shipped) -> None:
        """Note a segment that is in the object store; one that was noted stays as it is."""
        ...

    def known(self, names: Collection[str]) -> frozenset[str]:
        """Those of the segments that were noted."""
        ...

    def unbooked(self) -> Sequence[Shipped]:
        """The segments with something that is not booked, in the order of their names."""
        ...

    def all(self) -> Sequence[Shipped]:
        """Every segment, in the order of their names."""
        ...


class Roster(Protocol):
    """Whoever may have leased from shared limits, on whatever machine."""

    def finish(self, name: str) -> None:
        """Note that a worker is dead, and all that it wrote is where every machine finds it."""
        ...

    def all(self) -> Mapping[str, bool]:
        """Every worker by name: whether it is finished."""
        ...


class Objects(Protocol):
    """A store of whole objects by name; each name has one content for ever."""

    def put(self, name: str, data: bytes) -> None:
        """Put an object; it is there whole or not at all. Raises: ObjectsError."""
        ...

    def get(self, name: str) -> bytes:
        """An object's content. Raises: ObjectsError."""
        ...


class ObjectsError(RuntimeError):
    """The object store can't be reached, or does not have what was put there."""

    code = "objects_failed"


class Sent(msgspec.Struct, frozen=True):
    """What one look at the journal shipped, and what is too damaged for it."""

    segments: int
    damages: tuple[Damage, ...]


class Shipper:
    """Ships what one machine's journal has sealed; it remembers what it knows to be shipped."""

    def __init__(self, journal: Path, objects: Objects, index: Index, roster: Roster) -> None:
        self._journal = journal
        self._objects = objects
        self._index = index
        self._roster = roster
        self._done: set[str] = set()
        self._finished: set[str] = set()

    def ship(self) -> Sent:
        """Ship every sealed segment that is not. Raises: ObjectsError."""
        left = [each for each in segments.writers(self._journal) if each not in self._finished]
        over = [each for each in left if recovery.is_over(self._journal, each)]
        waiting = [each for each in segments.segments(self._journal) if each.name not in self._done]
        sent, damages = 0, list[Damage]()
        for start in range(0, len(waiting), SEGMENTS_AT_ONCE_MAX):
            some = waiting[start : start + SEGMENTS_AT_ONCE_MAX]
            self._done |= self._index.known([each.name for each in some])
            for segment in some:
                if segment.name in self._done:
                    continue
                try:
                    sent += self._send(segment)
                except DamageError as exc:
                    damages.append(exc.damage)
        for writer in over:
            if all(each.name in self._done for each in segments.of_writer(self._journal, writer)):
                self._roster.finish(writer)
                self._finished.add(writer)
        return Sent(sent, tuple(damages))

    def _send(self, segment: Segment) -> bool:
        if segments.seal_of(segment.path) is None:
            return False
        frontier, end = 0, 0
        for _, end, item in segments.read(segment.path):
            if not isinstance(item, Announcement | Seal):
                frontier = end
        data = segment.path.read_bytes()
        if len(data) != end:
            raise DamageError(Damage(segment.path, end, "there are bytes after the seal"))
        sha256 = hashlib.sha256(data).digest()
        self._objects.put(_segment_object(segment.name), data)
        self._index.note(Shipped(segment.name, len(data), sha256, frontier))
        self._done.add(segment.name)
        return True


def fetch(wanted: Iterable[Shipped], objects: Objects, mirror: Path) -> int:
    """Bring segments into a folder; how many came. Raises: ObjectsError."""
    came = 0
    for each in wanted:
        path = mirror / each.name
        if not path.exists():
            _place(path, _same(each.name, objects.get(_segment_object(each.name)), each.sha256))
            came += 1
    return came


def fetch_lines(objects: Objects, folder: Path, batches: Iterable[tuple[int, bytes]]) -> int:
    """Bring the line files of batches into a folder that other machines booked; how many came.

    Raises: ObjectsError.
    """
    came = 0
    for batch, sha256 in batches:
        path = parquet.path_of(folder, batch)
        if not path.exists() or hashlib.sha256(path.read_bytes()).digest() != sha256:
            name = _lines_object(batch, sha256)
            _place(path, _same(name, objects.get(name), sha256))
            came += 1
    return came


def put_lines(objects: Objects, folder: Path, batch: Batch) -> None:
    """Put a batch's line file where every machine finds it, before the batch is booked.

    Its name there has its hash: a clerk that was slow, and whose lease is another's by now, can't
    replace what the books say. Raises: ObjectsError.
    """
    name = _lines_object(batch.number, batch.file_sha256)
    data = parquet.path_of(folder, batch.number).read_bytes()
    objects.put(name, _same(name, data, batch.file_sha256))


def _segment_object(name: str) -> str:
    return f"journal/{name}"


def _lines_object(batch: int, sha256: bytes) -> str:
    return f"lines/{batch:08d}-{sha256.hex()}.parquet"


def _same(name: str, data: bytes, sha256: bytes) -> bytes:
    if hashlib.sha256(data).digest() != sha256:
        msg = f"{name} is not as the books say: {len(data)} bytes of another hash"
        raise ObjectsError(msg)
    return data


def _place(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}{_NEXT_SUFFIX}")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    parquet.sync(path.parent)
