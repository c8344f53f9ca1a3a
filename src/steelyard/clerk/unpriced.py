"""Unpriced: the calls that were set aside for want of a price, and have none yet."""

from __future__ import annotations

from typing import Any, cast, get_args

from steelyard.clerk.book import Standing
from steelyard.rating.lines import Reason

REASONS = frozenset(get_args(Reason))


def calls(books: Standing) -> list[bytes]:
    """The calls that wait for a price, in the order in which they were set aside.

    One that a correction has given lines does not wait any more.
    """
    corrections = {each.number for each in books.batches() if each.kind == "correction"}
    aside = books.set_aside()
    waiting = dict.fromkeys(
        each.call_id for batch, each in aside if each.reason in REASONS and batch not in corrections
    )
    for batch in sorted(corrections) if waiting else ():
        lined = cast("list[Any]", books.lines(batch).column("call_id").to_pylist())
        for call_id in set(lined):
            waiting.pop(call_id, None)
    return list(waiting)
