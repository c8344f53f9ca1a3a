"""Batches: a bounded part of the journal, read from where the books stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from steelyard.clerk import parquet
from steelyard.ledger.chain import Range
from steelyard.metering import segments
from steelyard.metering.frames import Item, Seal
from steelyard.metering.segments import Damage, DamageError, Segment
from steelyard.values.facts import Fact
from steelyard.values.usage import Announcement, UsageRecord

LEFT_READ_BYTES_MAX = 1 << 20
"""Of more than that it is not read how much there is to be booked."""


class Gathered(NamedTuple):
    """The records and facts of a batch, in the order of reading, and where they stand."""

    ranges: tuple[Range, ...]
    records: list[UsageRecord]
    facts: list[Fact]

    def take(self, item: Item) -> None:
        """Take what a frame holds."""
        if isinstance(item, UsageRecord):
            self.records.append(item)
        elif isinstance(item, tuple):
            self.records.extend(item)
        elif isinstance(item, Fact):
            self.facts.append(item)


class Journal:
    """A journal's folder, as one clerk reads it.

    Remembers which segments have been read to their seal, and which are damaged: a damaged one is
    read up to the damage and then left alone, while the others go on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damages: dict[str, Damage] = {}
        self._done: set[str] = set()

    def gather(self, cursors: Mapping[str, int], calls_max: int) -> Gathered:
        """Read on from the cursors, in the order of the segments' names.

        It holds at least ``calls_max`` records if there are so many, and at most one block more.
        """
        ranges: list[Range] = []
        found = Gathered((), [], [])
        records = found.records
        for segment in segments.segments(self.root):
            if len(records) >= calls_max:
                break
            if segment.name in self._done or segment.name in self.damages:
                continue
            start = cursors.get(segment.name, 0)
            end, count = start, len(records) + len(found.facts)
            for after, item in self._frames(segment, start):
                end = after
                found.take(item)
                if isinstance(item, Seal):
                    self._done.add(segment.name)
                if len(records) >= calls_max and not isinstance(item, Seal):
                    break
            if len(records) + len(found.facts) > count:
                ranges.append(Range(segment.name, start, end))
            elif start and end == start and _is_sealed(segment, end):
                self._done.add(segment.name)
        return found._replace(ranges=tuple(ranges))

    def frontier(self, cursors: Mapping[str, int]) -> dict[str, int]:
        """Where the last records after the cursors end, in each segment that has some."""
        found: dict[str, int] = {}
        for segment in segments.segments(self.root):
            for after, item in self._frames(segment, cursors.get(segment.name, 0)):
                if not isinstance(item, Announcement | Seal):
                    found[segment.name] = after
        return found

    def left(self, cursors: Mapping[str, int]) -> dict[str, int]:
        """How much of each segment is to be booked; of much that is not read, its file's size.

        Unit: bytes.
        """
        found: dict[str, int] = {}
        for segment in segments.segments(self.root):
            cursor, end = cursors.get(segment.name, 0), segment.path.stat().st_size
            if end - cursor <= LEFT_READ_BYTES_MAX:
                booked = (Announcement, Seal)
                ends = (
                    at for at, item in self._frames(segment, cursor) if not isinstance(item, booked)
                )
                end = max(ends, default=cursor)
            if end > cursor:
                found[segment.name] = end - cursor
        return found

    def _frames(self, segment: Segment, start: int) -> Iterator[tuple[int, Item]]:
        try:
            for _, after, item in segments.read(segment.path, start):
                yield after, item
        except DamageError as exc:
            self.damages[segment.name] = exc.damage


def settle(root: Path, ranges: tuple[Range, ...]) -> None:
    """Wait until the ranges are on the disk, whatever their writers wait for.

    Else a power cut could take from the journal what the books have.
    """
    for each in ranges:
        path = root / each.segment
        parquet.sync(path)
        if not each.start:
            parquet.sync(path.parent)
            parquet.sync(root)


def reread(root: Path, ranges: tuple[Range, ...]) -> Gathered:
    """What ranges hold that were booked.

    Raises: DamageError when they can't be read any more as they were.
    """
    found = {segment.name: segment for segment in segments.segments(root)}
    gathered = Gathered(ranges, [], [])
    for each in ranges:
        path = root / each.segment
        if each.segment not in found:
            raise DamageError(Damage(path, each.start, "the segment is gone"))
        end = each.start
        for _, after, item in segments.read(path, each.start):
            gathered.take(item)
            end = after
            if end >= each.end:
                break
        if end != each.end:
            reason = f"no frame ends at byte {each.end}, to which the segment was booked"
            raise DamageError(Damage(path, end, reason))
    return gathered


def _is_sealed(segment: Segment, end: int) -> bool:
    seal = segments.seal_of(segment.path)
    return seal is not None and segment.path.stat().st_size == end
