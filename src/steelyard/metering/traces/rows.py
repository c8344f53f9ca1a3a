"""Rows: what a format makes of a line, and what it says of a line that is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

LINE_BYTES_MAX = 1 << 20
WORD_CHARS_MAX = 200
"""The longest model or user that is taken."""

COUNT_MAX = 10**15 - 1
"""No call has more units of a meter."""

_SHOWN_CHARS = 40


class TraceError(ValueError):
    """A file that can't be read as the trace it is said to be."""

    code = "trace_unreadable"


class Extra(msgspec.Struct, frozen=True, gc=False):
    """What few traces say of a call; empty or None where it is not said. Unit: microseconds."""

    service_tier: str = ""
    region: str = ""
    mode: str = ""
    duration_us: int | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """One call of a trace.

    Unit: ``at_us`` microseconds since 1970-01-01 UTC, or since the trace's beginning where the
    format's times are relative. ``content`` is what tells this row from others.
    """

    at_us: int
    model: str | None
    user: str | None
    meters: dict[str, int]
    content: str
    extra: Extra | None = None


class Fault(NamedTuple):
    """Why a line is no row. Unit: ``column`` characters, from 1."""

    column: int
    reason: str


class BadRow(msgspec.Struct, frozen=True):
    """A line that was set aside. Unit: ``line`` and ``column`` from 1."""

    line: int
    column: int
    reason: str
    text: str


Parse = Callable[[str], Row | Fault]


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of trace.

    ``parser`` makes the function that reads one line, from the header line where there is one
    (else from an empty text); it may remember what it has read.
    ``absolute`` is whether times are instants; else they count from the trace's beginning.
    ``models`` is whether rows name models.
    Raises: ``parser`` TraceError for a wrong header.
    """

    name: str
    parser: Callable[[str], Parse]
    header: bool
    absolute: bool
    models: bool


class Column(NamedTuple):
    """A column of a comma-separated trace: its name, its pattern, and the pattern in words."""

    name: str
    pattern: str
    wanted: str


def count(name: str) -> Column:
    """A column that holds a count."""
    return Column(name, r"\d{1,15}", "a whole number")


def word(name: str) -> Column:
    """A column that holds a short text."""
    return Column(name, r"[^,]{0,200}", f"at most {WORD_CHARS_MAX} characters")


def line_pattern(columns: Sequence[Column]) -> re.Pattern[str]:
    """What a whole line looks like, one group a column."""
    return re.compile(",".join(f"({column.pattern})" for column in columns), re.ASCII)


def check_header(header: str, columns: Sequence[Column]) -> None:
    """See that a file begins as its format says.

    Raises: TraceError.
    """
    expected = ",".join(column.name for column in columns)
    if header.strip() != expected:
        msg = f"line 1 is {shown(header)}; this format begins with {expected}"
        raise TraceError(msg)


def line_fault(line: str, columns: Sequence[Column]) -> Fault:
    """Why a line does not match its pattern: the first column that is wrong."""
    fields = line.split(",")
    at = 1
    for field, column in zip(fields, columns, strict=False):
        if not re.fullmatch(column.pattern, field, re.ASCII):
            return Fault(at, f"{column.name} is {shown(field)}; expected {column.wanted}")
        at += len(field) + 1
    if len(fields) < len(columns):
        return Fault(len(line) + 1, f"{columns[len(fields)].name} is missing")
    return Fault(at, f"{len(fields)} fields, where the header names {len(columns)}")


def shown(text: str) -> str:
    """A text in quotes, cut short."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
