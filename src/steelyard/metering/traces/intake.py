"""Intake: records of a trace into the journal by blocks, bad rows into a file, and the count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from steelyard.metering.traces.placing import Item, LeftOut
from steelyard.metering.traces.rows import BadRow, TraceError
from steelyard.values.usage import UsageRecord

BLOCK_RECORDS = 2048
FAULTS_SHOWN_MAX = 3


class Intake(msgspec.Struct, kw_only=True):
    """What an import did. Unit: ``first_us`` and ``last_us`` µs since 1970 UTC."""

    calls: int = 0
    rejected: int = 0
    left_out: int = 0
    first_us: int | None = None
    last_us: int | None = None
    meters: Counter[str] = msgspec.field(default_factory=Counter[str])
    models: Counter[str] = msgspec.field(default_factory=Counter[str])
    faults: list[BadRow] = msgspec.field(default_factory=list[BadRow])
    """The first bad rows, to be shown."""
    stopped_by: str | None = None
    """Why the trace can't be read on; what was read before is in."""


def take(
    items: Iterable[Item],
    block: Callable[[list[UsageRecord]], object],
    aside: Callable[[BadRow], object],
    calls_max: int | None,
) -> Intake:
    """Hand records on by blocks, and bad rows one by one, until ``calls_max`` calls are in."""
    done = Intake()
    records: list[UsageRecord] = []
    try:
        for item in items:
            if isinstance(item, UsageRecord):
                records.append(item)
                if len(records) == BLOCK_RECORDS or done.calls + len(records) == calls_max:
                    _count(done, records)
                    block(records)
                    records = []
                    if done.calls == calls_max:
                        break
            elif isinstance(item, LeftOut):
                done.left_out += 1
            else:
                done.rejected += 1
                if len(done.faults) < FAULTS_SHOWN_MAX:
                    done.faults.append(item)
                aside(item)
    except TraceError as exc:
        done.stopped_by = str(exc)
    if records:
        _count(done, records)
        block(records)
    return done


def _count(done: Intake, records: list[UsageRecord]) -> None:
    done.calls += len(records)
    times = [record.at_us for record in records]
    first, last = min(times), max(times)
    done.first_us = first if done.first_us is None else min(done.first_us, first)
    done.last_us = last if done.last_us is None else max(done.last_us, last)
    done.models.update([record.model for record in records])
    weighed = [record.meters for record in records]
    for meter in set[str]().union(*weighed):
        done.meters[meter] += sum([each.get(meter, 0) for each in weighed])
