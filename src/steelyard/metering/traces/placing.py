"""Placing: rows of a trace as usage records of a customer, under a contract, at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import msgspec

from steelyard.metering.traces.rows import (
    LINE_BYTES_MAX,
    BadRow,
    Extra,
    Fault,
    Format,
    Parse,
    Row,
    TraceError,
)
from steelyard.values.ids import content_id
from steelyard.values.usage import STANDARD, Source, UsageRecord

UNSORTED_ROWS_MAX = 2_000_000
"""How many rows of a trace that is not in the order of time are remembered."""

MODELS_MAX = 10_000
"""How many models a trace may name."""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Whose calls the rows become, and when.

    A row's model becomes what ``models`` says, else ``model``; where that is None, rows of other
    models are left out, and without any ``models`` each row keeps its own.
    Unit: ``start_us`` µs since 1970 UTC, the time of the first row of a trace with instants, and
    the beginning of one whose times are relative. None: the trace's own instants.
    """

    edition: int
    customer: str
    contract: str
    deployment: str
    model: str | None
    models: Mapping[str, str]
    start_us: int | None
    sells: Callable[[str], bool]
    """Whether the contract has a price for a model."""


class LeftOut(NamedTuple):
    """A row of a model that is not wanted."""

    model: str


Item = UsageRecord | BadRow | LeftOut


class _UnsortedError(Exception):
    """A row is older than the one before."""


class _Place(NamedTuple):
    """Where rows of a trace's model go; ``identity`` is what their ids have in common."""

    model: str
    identity: bytes


def read(lines: Callable[[], Iterator[str]], trace: Format, placement: Placement) -> Iterator[Item]:
    """The records of a trace, and in between what is set aside or left out, in the file's order.

    While rows are in the order of time, only those of one instant are remembered to tell identical
    ones apart. At the first that is older the trace is read again, with all rows remembered; what
    was handed out by then is the same.
    Raises: TraceError.
    """
    count = 0
    try:
        for item in _records(lines(), trace, placement, sorted_by_time=True):
            yield item
            count += 1
    except _UnsortedError:
        again = _records(lines(), trace, placement, sorted_by_time=False)
        yield from islice(again, count, None)


def _records(
    lines: Iterator[str], trace: Format, placement: Placement, *, sorted_by_time: bool
) -> Iterator[Item]:
    parse = trace.parser(next(lines, "") if trace.header else "")
    places: dict[str | None, _Place | Fault | None] = {}
    sources: dict[tuple[str, ...], dict[str, Source]] = {}
    seen: dict[bytes, int] = {}
    shift_us: int | None = None
    last_us = None
    for number, line in enumerate(lines, 2 if trace.header else 1):
        if not line:
            continue
        plain = line.isascii() and len(line) <= LINE_BYTES_MAX
        row = parse(line) if plain else _odd_row(parse, line)
        if isinstance(row, Fault):
            yield _aside(number, row, line)
            continue
        if shift_us is None:
            shift_us = _shift(trace, placement, row.at_us)
        at_us, model, meters = row.at_us + shift_us, row.model, row.meters
        if model not in places:
            places[model] = _place(trace.name, placement, model, len(places))
        place = places[model]
        if not isinstance(place, _Place):
            yield LeftOut(model or "") if place is None else _aside(number, place, line)
            continue
        if sorted_by_time and at_us != last_us:
            if last_us is not None and at_us < last_us:
                raise _UnsortedError
            seen.clear()
        last_us = at_us
        written = place.identity + row.content.encode()
        call_id = content_id(at_us, written)
        before = seen.get(call_id, 0)
        seen[call_id] = before + 1
        if before:
            call_id = content_id(at_us, written + b"\0%d" % before)
        elif len(seen) > UNSORTED_ROWS_MAX:
            msg = f"more than {UNSORTED_ROWS_MAX:,} rows in no order; sort the trace by time first"
            raise TraceError(msg)
        shape = tuple(meters)
        if shape not in sources:
            sources[shape] = dict.fromkeys(shape, "imported")
        record = UsageRecord(
            call_id,
            at_us,
            placement.edition,
            placement.customer,
            placement.contract,
            "",
            place.model,
            placement.deployment,
            "completed",
            meters,
            sources[shape],
            origin="imported",
            user=row.user,
        )
        yield record if row.extra is None else _with(record, row.extra)


def _with(record: UsageRecord, extra: Extra) -> UsageRecord:
    return msgspec.structs.replace(
        record,
        service_tier=extra.service_tier or STANDARD,
        region=extra.region,
        mode=extra.mode,
        duration_us=extra.duration_us,
    )


def _odd_row(parse: Parse, line: str) -> Row | Fault:
    if len(line) > LINE_BYTES_MAX:
        return Fault(LINE_BYTES_MAX + 1, f"the line goes on after {LINE_BYTES_MAX:,} bytes")
    try:
        line.encode()
    except UnicodeEncodeError as exc:
        return Fault(exc.start + 1, "not UTF-8")
    return parse(line)


def _aside(number: int, fault: Fault, line: str) -> BadRow:
    # What is no UTF-8 is kept readable: a byte as \xff.
    text = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return BadRow(number, fault.column, fault.reason, text)


def _shift(trace: Format, placement: Placement, first_us: int) -> int:
    if placement.start_us is None:
        return 0
    return placement.start_us - (first_us if trace.absolute else 0)


def _place(
    format_name: str, placement: Placement, named: str | None, known: int
) -> _Place | Fault | None:
    if known >= MODELS_MAX:
        msg = f"the trace names more than {MODELS_MAX:,} models; is that column a model?"
        raise TraceError(msg)
    model = placement.models.get(named or "", placement.model)
    if model is None:
        if placement.models:
            return None
        model = named
    if model is None:
        return Fault(1, "the row names no model; say which with --model")
    if not placement.sells(model):
        reason = f"contract {placement.contract} sells no {model}; map it with --by-model"
        return Fault(1, reason)
    parts = (format_name, placement.customer, placement.contract, model, "")
    return _Place(model, "\0".join(parts).encode())
