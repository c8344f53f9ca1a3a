"""A file of facts: a table with commas, or one JSON object a line, each fault with its place."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from steelyard.values import periods
from steelyard.values.events import Event, What

FILE_BYTES_MAX = 64 << 20
_NEEDED = ("id", "at", "contract", "about", "what")
_COLUMNS = (*_NEEDED, "name", "units", "note")

Fault = tuple[int, int, str]
"""Line and column, from 1, and what is wrong there."""


class Row(NamedTuple):
    """An event, its line, and in which column each of its fields begins."""

    event: Event
    line: int
    columns: dict[str, int]


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    at: str
    contract: str
    about: str
    what: What
    name: str = ""
    units: dict[str, int] = {}
    note: str = ""


class _Wrong(NamedTuple):
    """What is wrong with a row, and in which of its fields; empty: in none."""

    field: str
    reason: str


def read(file: Path, zone: Callable[[str], str]) -> tuple[list[Row], list[Fault]]:
    """The rows of a file, and what is wrong with it; ``zone`` is where a contract's clock is."""
    if file.stat().st_size > FILE_BYTES_MAX:
        return [], [(1, 1, f"larger than {FILE_BYTES_MAX:,} bytes; split it")]
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        return [], [(1, 1, f"not UTF-8 at byte {exc.start}")]
    rows: list[Row] = []
    faults: list[Fault] = []
    is_json = bool(lines) and lines[0].lstrip().startswith("{")
    for number, columns, told in _objects(lines) if is_json else _table(lines):
        found = told if isinstance(told, _Wrong) else _event(told, zone)
        if isinstance(found, _Wrong):
            faults.append((number, columns.get(found.field, 1), found.reason))
        else:
            rows.append(Row(found, number, columns))
    return rows, faults


def _event(told: _Told, zone: Callable[[str], str]) -> Event | _Wrong:
    if not told.id:
        return _Wrong("id", "an event has an id of its own")
    at_us = instant(told.at, zone(told.contract))
    if at_us is None:
        return _Wrong("at", f'"{told.at}" is no time; write 2026-11-24T09:00')
    return Event(
        id=told.id,
        at_us=at_us,
        contract=told.contract,
        about=told.about,
        what=told.what,
        name=told.name,
        units=told.units,
        note=told.note,
    )


def instant(written: str, zone: str) -> int | None:
    """A time as it is written, in a zone unless it says its own; None when it is none."""
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError:
        return None
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


_Line = tuple[int, dict[str, int], _Told | _Wrong]
"""A line's number, where its fields begin, and what it says."""


def _objects(lines: list[str]) -> Iterator[_Line]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            named = [name for name in _COLUMNS if f'"{name}"' in line]
            columns = {name: line.index(f'"{name}"') + 1 for name in named}
            yield number, columns, _object(line)


def _object(line: str) -> _Told | _Wrong:
    try:
        return msgspec.json.decode(line, type=_Told)
    except msgspec.DecodeError as exc:
        field = next((each for each in _COLUMNS if f"$.{each}" in str(exc)), "")
        return _Wrong(field, str(exc))


def _table(lines: list[str]) -> Iterator[_Line]:
    header = [each.strip() for each in next(csv.reader(lines[:1] or [""]))]
    unknown = set(header) - set(_COLUMNS)
    if set(_NEEDED) - set(header) or unknown or len(set(header)) < len(header):
        wanted = f"{', '.join(_NEEDED)}, and if wanted {', '.join(_COLUMNS[len(_NEEDED) :])}"
        yield 1, {}, _Wrong("", f"the first line names the columns: {wanted}")
        return
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            columns = dict(zip(header, _starts(line), strict=False))
            yield number, columns, _row(header, line)


def _row(header: list[str], line: str) -> _Told | _Wrong:
    fields = [each.strip() for each in next(csv.reader([line]))]
    if len(fields) != len(header):
        return _Wrong("", f"{len(fields)} fields, and the first line names {len(header)}")
    named = dict(zip(header, fields, strict=True))
    units = _units(named.pop("units", ""))
    if isinstance(units, _Wrong):
        return units
    try:
        return msgspec.convert({**named, "units": units}, _Told)
    except msgspec.ValidationError:
        known = ", ".join(get_args(What))
        return _Wrong("what", f'"{named["what"]}" is not known here; there is {known}')


def _starts(line: str) -> Iterator[int]:
    """Where each field begins, from 1."""
    quoted = False
    yield 1
    for at, letter in enumerate(line, start=1):
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            yield at + 1


def _units(written: str) -> dict[str, int] | _Wrong:
    found: dict[str, int] = {}
    for each in written.split():
        name, _, number = each.partition("=")
        try:
            found[name] = int(number.replace("_", ""))
        except ValueError:
            return _Wrong("units", f'"{each}" is no count; write seats=12')
    return found
