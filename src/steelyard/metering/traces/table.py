"""Steelyard's own table: comma-separated, with a header that names what each column holds.

Columns, in any order: ``timestamp`` (ISO 8601; without a zone it is UTC's), if wanted ``model``,
``user``, ``service_tier``, ``region``, ``mode`` and ``seconds`` (how long the call took, up to six
decimals), and any meter by its full name. An empty cell of a meter is a count that is unknown;
without a column ``requests`` each row is one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence

from steelyard.metering.traces.instants import instant_us
from steelyard.metering.traces.rows import (
    WORD_CHARS_MAX,
    Extra,
    Fault,
    Format,
    Parse,
    Row,
    TraceError,
    shown,
)
from steelyard.values.meters import METERS
from steelyard.values.usage import SERVICE_TIERS

_MORE = ("service_tier", "region", "mode", "seconds")
_WORDS = ("timestamp", "model", "user", *_MORE)
_SECONDS = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_COUNT = re.compile(r"\d{0,15}", re.ASCII)
_WANTED = "a time like 2026-11-02T09:00:00+08:00"


def parser(header: str) -> Parse:
    """Read one line at a time."""
    names = _names(header)
    places = {name: names.index(name) for name in _WORDS if name in names}
    meters = [(place, name) for place, name in enumerate(names) if name in METERS]
    more = [name for name in _MORE if name in names]
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
        wrong = _wrong_word(words)
        if wrong is not None:
            name, reason = wrong
            return Fault(_column(line, places[name]), f"{name} is {shown(words[name])}; {reason}")
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
        told += [f"{name}={words[name]}" for name in more if words[name]]
        told += [f"{name}={weighed[name]}" for name in sorted(weighed)]
        content = "\n".join(told)
        if not more:
            return Row(at_us, model, user, weighed | assumed, content)
        extra = Extra(
            service_tier=words.get("service_tier", ""),
            region=words.get("region", ""),
            mode=words.get("mode", ""),
            duration_us=_duration_us(words.get("seconds", "")),
        )
        return Row(at_us, model, user, weighed | assumed, content, extra)

    return parse


def _wrong_word(words: Mapping[str, str]) -> tuple[str, str] | None:
    """A column with a word that can't be there, and what is expected."""
    if words.get("service_tier") and words["service_tier"] not in SERVICE_TIERS:
        return "service_tier", f"expected {', '.join(SERVICE_TIERS)}"
    if words.get("seconds") and not _SECONDS.fullmatch(words["seconds"]):
        return "seconds", "expected a number like 12.5"
    return None


def _duration_us(seconds: str) -> int | None:
    match = _SECONDS.fullmatch(seconds)
    if match is None:
        return None
    return int(match.group(1)) * 1_000_000 + int((match.group(2) or "").ljust(6, "0"))


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
