"""Journals to write and to read, and what to write into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from steelyard.metering.frames import Seal
from steelyard.metering.journal import JournalWriter
from steelyard.metering.segments import read, seal_of, segments
from steelyard.values.clock import FixedClock
from steelyard.values.ids import uuid7
from steelyard.values.usage import Announcement, UsageRecord

AT_US = 1_795_478_400_000_000


def announced(number: int, **changes: Any) -> Announcement:
    """The announcement of call ``number``."""
    given: dict[str, Any] = {
        "call_id": uuid7(AT_US + number, number),
        "attempt": 1,
        "at_us": AT_US + number,
        "edition": 1,
        "customer": "acme",
        "contract": "acme-2026",
        "key_id": "acme-web",
        "model": "qwen3-max",
        "deployment": "bailian",
        "expected": {"input_tokens": 100, "output_tokens": 50},
    }
    return Announcement(**{**given, **changes})


def recorded(number: int, **changes: Any) -> UsageRecord:
    """The record of call ``number``."""
    given: dict[str, Any] = {
        "call_id": uuid7(AT_US + number, number),
        "at_us": AT_US + number,
        "edition": 1,
        "customer": "acme",
        "contract": "acme-2026",
        "key_id": "acme-web",
        "model": "qwen3-max",
        "deployment": "bailian",
        "outcome": "completed",
        "meters": {"input_tokens": number, "output_tokens": 7, "requests": 1},
        "sources": {
            "input_tokens": "upstream",
            "output_tokens": "upstream",
            "requests": "measured",
        },
    }
    return UsageRecord(**{**given, **changes})


def open_writer(root: Path, name: str = "gateway-1", **more: Any) -> JournalWriter:
    """Open a writer that takes its room in small steps."""
    given: dict[str, Any] = {"durability": "process", "clock": FixedClock(), "growth_bytes": 4096}
    return JournalWriter(root, name, **{**given, **more})


def items(root: Path) -> list[Any]:
    """Everything in a journal, in order."""
    return [item for segment in segments(root) for _, _, item in read(segment.path)]


def sealed(path: Path) -> Seal:
    """The seal that a segment has."""
    seal = seal_of(path)
    assert seal is not None
    return seal


_COUNTS = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "compute_ms"]), st.integers(0, 2**53)
)
_TEXTS = st.text("aé中😀\0\n", max_size=40)

ANNOUNCEMENTS = st.builds(
    announced, st.integers(0, 2**30), customer=_TEXTS, attempt=st.integers(1, 9), expected=_COUNTS
)
RECORDS = st.builds(
    recorded,
    st.integers(0, 2**30),
    customer=_TEXTS,
    meters=_COUNTS,
    produced=st.none() | _COUNTS,
    outcome=st.sampled_from(["completed", "cancelled", "failed", "interrupted"]),
    duration_us=st.none() | st.integers(0, 2**40),
    user=st.none() | _TEXTS,
)
