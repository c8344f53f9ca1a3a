"""Parts: a call priced attempt by attempt, each at its own model and deployment."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from steelyard.values.usage import UsageRecord


def parts(record: UsageRecord) -> tuple[UsageRecord, ...]:
    """The call as it was answered, then each other attempt that made something: a cost alone."""
    if not record.tries:
        return (record,)
    costs = (
        msgspec.structs.replace(
            record,
            model=each.model,
            deployment=each.deployment,
            meters={},
            produced=each.produced,
            tries=(),
        )
        for each in record.tries
        if each.produced
    )
    return (record, *costs)


def apart(records: Sequence[UsageRecord]) -> tuple[Sequence[UsageRecord], list[int]]:
    """The parts of a batch, in its order, and of which record each one is."""
    if not any(record.tries for record in records):
        return records, list(range(len(records)))
    found = [(part, row) for row, record in enumerate(records) for part in parts(record)]
    return [part for part, _ in found], [row for _, row in found]
