"""Telling: facts that were written down by hand, read from the journal alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from steelyard.metering import segments
from steelyard.values.facts import Fact

WRITER_PREFIX = "facts-"
"""How the ids of the writers begin that have written down nothing but facts."""


def facts(root: Path) -> Iterator[Fact]:
    """The facts of such writers, in the order in which they are booked.

    Raises: DamageError.
    """
    for segment in segments.segments(root):
        if segment.writer.startswith(WRITER_PREFIX):
            for _, _, item in segments.read(segment.path):
                if isinstance(item, Fact):
                    yield item
