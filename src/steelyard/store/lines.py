"""The line files, summed by DuckDB: exactly, in 128 bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from steelyard.rating.lines import LineSum

MEMORY_MAX = "256MB"
THREADS_MAX = 2

_SUMS = """
    SELECT
        period, side, customer, contract, model, component, party, meter, price_pico, currency,
        version, sum(units), sum(amount_pico)::HUGEINT, sum({calls})::BIGINT, {of_period} AS of
    FROM read_parquet($files, union_by_name = true)
    WHERE ($period IS NULL OR period = $period)
        AND ($from_us IS NULL OR at_us >= $from_us) AND ($until_us IS NULL OR at_us < $until_us)
    GROUP BY ALL
    HAVING sum(units) <> 0
"""

_OF_CALLS = {"calls": "CASE WHEN units < 0 THEN -1 ELSE 1 END", "of_period": "''"}
"""What only corrections have columns for."""

_WITH_CORRECTIONS = {
    "calls": f"coalesce(calls, {_OF_CALLS['calls']})",
    "of_period": "CASE WHEN coalesce(of_period, period) = period THEN '' ELSE of_period END",
}


class LinesError(RuntimeError):
    """Line files that can't be summed; the message says which and what to do."""

    code = "lines_unreadable"


def line_sums(
    files: Sequence[Path],
    period: str | None = None,
    bounds: tuple[int | None, int | None] = (None, None),
    *,
    corrected: bool = False,
) -> list[LineSum]:
    """The sums of a period's lines in these files, or of all lines, in their order.

    ``bounds`` are the instants from and before which calls began; None: whenever it was.

    ``corrected`` says that some are of corrections. What was taken back as a whole has no sum.

    Raises: LinesError when a file is missing or damaged, or a sum has more than 38 digits.
    """
    if not files:
        return []
    from_us, until_us = bounds
    named = [str(file) for file in files]
    values = {"files": named, "period": period, "from_us": from_us, "until_us": until_us}
    query = _SUMS.format_map(_WITH_CORRECTIONS if corrected else _OF_CALLS)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_MAX}'; SET threads = {THREADS_MAX}")
        try:
            rows = connection.execute(query, values).fetchall()
        except duckdb.Error as exc:
            msg = f"the charge lines can't be summed ({exc}); `steelyard audit` finds the place"
            raise LinesError(msg) from exc
    names = LineSum.__struct_fields__
    return sorted(LineSum(**dict(zip(names, row, strict=True))) for row in rows)
