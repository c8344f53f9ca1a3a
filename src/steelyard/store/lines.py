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
        version, sum(units), sum(amount_pico)::HUGEINT, count(*)
    FROM read_parquet($files)
    WHERE $period IS NULL OR period = $period
    GROUP BY ALL
"""


class LinesError(RuntimeError):
    """Line files that can't be summed; the message says which and what to do."""

    code = "lines_unreadable"


def line_sums(files: Sequence[Path], period: str | None = None) -> list[LineSum]:
    """The sums of a period's lines in these files, or of all lines, in their order.

    Raises: LinesError when a file is missing or damaged, or a sum has more than 38 digits.
    """
    if not files:
        return []
    values = {"files": [str(file) for file in files], "period": period}
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_MAX}'; SET threads = {THREADS_MAX}")
        try:
            rows = connection.execute(_SUMS, values).fetchall()
        except duckdb.Error as exc:
            msg = f"the charge lines can't be summed ({exc}); `steelyard audit` finds the place"
            raise LinesError(msg) from exc
    names = LineSum.__struct_fields__
    return sorted(LineSum(**dict(zip(names, row, strict=True))) for row in rows)
