"""Inspection: the whole journal read, its every byte accounted for, and what it holds summed up."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from steelyard.metering import frames
from steelyard.metering.segments import (
    Damage,
    DamageError,
    Segment,
    check_after_seal,
    head_of,
    of_writer,
    read,
    tail,
    writers,
)
from steelyard.values.facts import Fact
from steelyard.values.usage import Announcement, UsageRecord

_CHUNK_BYTES = 1 << 20


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """A segment found whole. Unit: ``bytes`` of whole frames; ``torn`` of an unfinished write.

    A segment without a seal is being written, or waits for recovery.
    """

    segment: str
    bytes: int
    frames: int
    records: int
    torn: int
    seal: frames.Seal | None

    @property
    def sha256(self) -> bytes:
        """What the next segment's head must name; empty while there is no seal."""
        return b"" if self.seal is None else self.seal.sha256


class Stats(msgspec.Struct, kw_only=True):
    """What a journal holds. Unit: ``*_us`` µs since 1970-01-01 UTC, of the calls' admission.

    ``bytes`` are those written; ``running`` counts announced calls without a record yet.
    ``facts`` counts what is no call. ``meters`` sums what callers received, ``sources`` counts each
    meter of each record.
    """

    segments: int = 0
    sealed: int = 0
    bytes: int = 0
    announcements: int = 0
    records: int = 0
    facts: int = 0
    running: int = 0
    first_us: int | None = None
    last_us: int | None = None
    outcomes: Counter[str] = msgspec.field(default_factory=Counter[str])
    origins: Counter[str] = msgspec.field(default_factory=Counter[str])
    sources: Counter[str] = msgspec.field(default_factory=Counter[str])
    customers: Counter[str] = msgspec.field(default_factory=Counter[str])
    models: Counter[str] = msgspec.field(default_factory=Counter[str])
    meters: Counter[str] = msgspec.field(default_factory=Counter[str])
    damages: list[Damage] = []


def verify(root: Path) -> Iterator[Inspected | Damage]:
    """Read every byte of the journal: what of each segment was found, in order.

    A segment's seal must count and hash what is before it, and a writer's segments must follow
    each other by number and by hash.
    """
    for writer in writers(root):
        listed = of_writer(root, writer)
        expected, previous = 1, bytes(32)
        for segment in listed:
            if segment.sequence != expected:
                yield Damage(segment.path, 0, f"segment {expected} of {writer} is missing")
                previous = b""
            expected = segment.sequence + 1
            found = _inspect(segment, previous, followed=segment is not listed[-1])
            previous = b"" if isinstance(found, Damage) else found.sha256
            yield found


def _inspect(segment: Segment, previous: bytes, *, followed: bool) -> Inspected | Damage:
    """Read one segment; ``previous`` is the hash that it must name, empty when unknown."""
    path = segment.path
    try:
        head, end = head_of(path)
        if (head.writer, head.sequence) != (segment.writer, segment.sequence):
            return Damage(path, 0, f"it says that it is segment {head.sequence} of {head.writer}")
        if previous and head.previous != previous:
            return Damage(path, 0, "the segment before it is not the one that it followed")
        count = records = 0
        for offset, following, item in read(path):
            if isinstance(item, frames.Seal):
                return _sealed(segment, item, (count, records), (offset, following))
            end = following
            count += 1
            records += _records(item)
        if followed:
            return Damage(path, end, "it ends without a seal, though another segment follows")
        torn = tail(path, end).torn
    except DamageError as exc:
        return exc.damage
    return Inspected(
        segment=segment.name, bytes=end, frames=count, records=records, seal=None, torn=torn
    )


def _sealed(
    segment: Segment, seal: frames.Seal, counted: tuple[int, int], span: tuple[int, int]
) -> Inspected | Damage:
    offset, end = span
    if counted != (seal.frames, seal.records):
        return Damage(segment.path, offset, "the seal counts other frames than there are")
    if _sha256(segment.path, offset) != seal.sha256:
        return Damage(segment.path, offset, "the seal's hash is not that of what is before it")
    check_after_seal(segment.path, end)
    return Inspected(
        segment=segment.name, bytes=end, frames=counted[0], records=counted[1], seal=seal, torn=0
    )


def _sha256(path: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size and (chunk := file.read(min(size, _CHUNK_BYTES))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.digest()


def _records(item: frames.Item) -> int:
    if isinstance(item, tuple):
        return len(item)
    return int(isinstance(item, UsageRecord))


def stats(root: Path) -> Stats:
    """Sum up what the journal holds; a damaged segment counts up to its damage."""
    result = Stats()
    for writer in writers(root):
        running: set[bytes] = set()
        for segment in of_writer(root, writer):
            result.segments += 1
            end = 0
            try:
                end = head_of(segment.path)[1]
                for _, end, item in read(segment.path):  # noqa: B007 - the last one is kept
                    _add(result, running, item)
            except DamageError as exc:
                result.damages.append(exc.damage)
            result.bytes += end
        result.running += len(running)
    return result


def _add(result: Stats, running: set[bytes], item: frames.Item) -> None:
    if isinstance(item, Announcement):
        result.announcements += 1
        running.add(item.call_id)
    elif isinstance(item, UsageRecord):
        running.discard(item.call_id)
        _add_record(result, item)
    elif isinstance(item, tuple):
        for record in item:
            _add_record(result, record)
    elif isinstance(item, Fact):
        result.facts += 1
    else:
        result.sealed += 1


def _add_record(result: Stats, record: UsageRecord) -> None:
    result.records += 1
    first, last = result.first_us, result.last_us
    result.first_us = record.at_us if first is None else min(first, record.at_us)
    result.last_us = record.at_us if last is None else max(last, record.at_us)
    result.outcomes[record.outcome] += 1
    result.origins[record.origin] += 1
    result.customers[record.customer] += 1
    result.models[record.model] += 1
    for meter, units in record.meters.items():
        result.meters[meter] += units
    for source in record.sources.values():
        result.sources[source] += 1
