"""Sums: which line files are of a period, and what their lines add up to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from steelyard.clerk import parquet
from steelyard.rating.lines import LineSum
from steelyard.store import tables
from steelyard.store.lines import line_sums


def sums_of(
    connection: sa.Connection, lines: Path, period: str | None = None, batch: int | None = None
) -> list[LineSum]:
    """The sums of a period's lines, or of all, in the batches up to one, or in all.

    Raises: LinesError.
    """
    files, corrected = _files(connection, lines, _batches(period, batch))
    return line_sums(files, period, corrected=corrected)


def call_sums_of(
    connection: sa.Connection,
    lines: Path,
    period: str,
    bounds: tuple[int | None, int | None],
    batch: int | None = None,
) -> list[LineSum]:
    """The sums of a period's lines of calls, and of their corrections, that began within bounds.

    Raises: LinesError.
    """
    batches = tables.batches.c
    by_period = sa.select(batches.number).where(batches.kind == "period")
    query = _batches(period, batch).where(tables.batch_periods.c.batch.not_in(by_period))
    files, corrected = _files(connection, lines, query)
    return line_sums(files, period, bounds, corrected=corrected)


def _batches(period: str | None, batch: int | None) -> sa.Select[Any]:
    table = tables.batch_periods.c
    query = sa.select(table.batch).distinct().order_by(table.batch)
    if period is not None:
        query = query.where(table.period == period)
    if batch is not None:
        query = query.where(table.batch <= batch)
    return query


def _files(
    connection: sa.Connection, lines: Path, query: sa.Select[Any]
) -> tuple[list[Path], bool]:
    """The files of batches, and whether some have the columns that only corrections have."""
    numbers: list[int] = list(connection.scalars(query))
    batches = tables.batches.c
    others = connection.scalars(sa.select(batches.number).where(batches.kind != "calls"))
    corrected = not set(numbers).isdisjoint(others)
    return [parquet.path_of(lines, number) for number in numbers], corrected
