"""Steelyard's own table: comma-separated, with a header that names what each column holds.

Columns, in any order: ``timestamp`` (ISO 8601; without a zone it is UTC's), and if wanted ``model``
and ``user``, and any meter by its full name. An empty cell of a meter is a count that is unknown;
without a column ``requests`` each row is one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from steelyard.metering.traces.instants import instant_us
from steelyard.metering.traces.rows import (
    WORD_CHARS_MAX,
    Fault,
    Format,
    Parse,
    Row,
    TraceError,
    shown,
)
from steelyard.values.meters import METERS

_WORDS = ("timestamp", "model", "user")
_COUNT = re.compile(r"\d{0,15}", re.ASCII)
_WANTED = "a time like 2026-11-02T09:00:00+08:00"


def parser(header: str) -> Parse:
    """Read one line at a time."""
    names = _names(header)
    places = {name: names.index(name) for name in _WORDS if name in names}
    meters = [(place, name) for place, name in enumerate(names) if name in METERS]
    assumed = {} if "requests" in names else {"requests": 1}

    def parse(line: str) -> Row | Fault:
        fields = _fields(line)
        if isinstance(fields, Fault):
            return fields
        if len(fields) != len(names):
            reason = f"{len(fields)} fields, where the header names {len(names)}"
            return Fault(_column(line, min(len(fields), len(names))), reason)
        words = {name: fields[place].strip() for name, place in places.items()}
        at_us = instant_us(words["timestamp"])
        if at_us is None:
            reason = f"timestamp is {shown(words['timestamp'])}; expected {_WANTED}"
            return Fault(_column(line, places["timestamp"]), reason)
        for name, text in words.items():
            if len(text) > WORD_CHARS_MAX:
                reason = f"{name} has more than {WORD_CHARS_MAX} characters"
                return Fault(_column(line, places[name]), reason)
        weighed: dict[str, int] = {}
        for place, name in meters:
            field = fields[place].strip()
            if not _COUNT.fullmatch(field):
                reason = f"{name} is {shown(field)}; expected a whole number"
                return Fault(_column(line, place), reason)
            if field:
                weighed[name] = int(field)
        model, user = words.get("model") or None, words.get("user") or None
        told = [words["timestamp"], model or "", user or ""]
        told += [f"{name}={weighed[name]}" for name in sorted(weighed)]
        return Row(at_us, model, user, weighed | assumed, "\n".join(told))

    return parse


def _names(header: str) -> Sequence[str]:
    fields = _fields(header)
    names = [] if isinstance(fields, Fault) else [name.strip() for name in fields]
    known = [*_WORDS, *METERS]
    if "timestamp" not in names:
        msg = f"line 1 is {shown(header)}; the header names the columns, timestamp among them"
        raise TraceError(msg)
    for place, name in enumerate(names):
        if name not in known:
            msg = f"line 1: unknown column {shown(name)}; there are {', '.join(known)}"
            raise TraceError(msg)
        if name in names[:place]:
            msg = f"line 1: column {name} is there twice"
            raise TraceError(msg)
    return names


def _fields(line: str) -> list[str] | Fault:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return Fault(line.index('"') + 1, "a quoted field does not end on its line")


def _column(line: str, place: int) -> int:
    """Where a field begins, from 1: after that many commas that are not inside quotes."""
    quoted, commas = False, 0
    for at, char in enumerate(line, 1):
        if commas == place:
            return at
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            commas += 1
    return len(line) + 1


FORMAT = Format(name="csv", parser=parser, header=True, absolute=True, models=True)
