"""Differing: the lines that lead from what is booked of some calls to what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute

from steelyard.rating.lines import LineSum
from steelyard.rating.schema import CORRECTION_SCHEMA, SCHEMA

pc: Any = pyarrow.compute  # its stubs know nothing of numbers beside arrays

_ALIKE = (
    "call_id", "customer", "contract", "model", "deployment", "side", "component", "party", "meter",
    "price_pico", "currency",
)  # fmt: skip
"""What two lines share of which one can stand for the other: all but the units, and whose
documents say the price."""

_PLACED = ("at_us", "call_id", "side", "component", "party", "meter", "units", "price_pico")


def differences(booked: Sequence[pa.Table], right: pa.Table, batch: int) -> pa.Table:
    """What is to be added to the booked lines of a batch's calls, so that they are the right ones.

    ``booked`` are the lines of the batch, and those of corrections. A line whose price is wrong is
    taken back with negative units, and stands again with the right price; one of which only the
    units are wrong gets the difference. The period is that in which the call was booked first. The
    lines of a call stand together, what is taken back first. Columns: ``CORRECTION_SCHEMA``'s, with
    plain words (see ``joined``).
    """
    tables = [_marked(_plain(each, batch), new=False) for each in booked]
    both = pa.concat_tables([*tables, _marked(_plain(right, batch), new=True)])
    first = both.group_by(["call_id"], use_threads=False).aggregate([("period", "min")])
    found = both.group_by([*_ALIKE, "at_us"], use_threads=False).aggregate(
        [("more", "sum"), ("was", "sum"), ("version", "first"), ("version", "last")]
    )
    found = found.filter(pc.not_equal(found["more_sum"], 0))
    period = dict(zip(first["call_id"].to_pylist(), first["period_min"].to_pylist(), strict=True))
    units, was, prices = (_whole(found[name]) for name in ("more_sum", "was_sum", "price_pico"))
    months = pa.array([period[call] for call in found["call_id"].to_pylist()], pa.string())
    amounts = [count * price for count, price in zip(units, prices, strict=True)]
    # By how much a line changes their number: it comes, goes, or stays with other units.
    calls = [bool(old + more) - bool(old) for old, more in zip(was, units, strict=True)]
    taken_back = pc.less(found["more_sum"], 0)
    columns: dict[str, Any] = {
        **{name: found[name] for name in (*_ALIKE, "at_us")},
        "period": months,
        "of_period": months,
        "units": found["more_sum"],
        "amount_pico": pa.array(amounts, pa.decimal128(38, 0)),
        "version": pc.if_else(taken_back, found["version_first"], found["version_last"]),
        "corrects": pa.array([batch] * len(units), pa.int64()),
        "calls": pa.array(calls, pa.int64()),
    }
    table = pa.table(columns).sort_by([(name, "ascending") for name in _PLACED])
    return table.select(CORRECTION_SCHEMA.names)


def summed(lines: pa.Table) -> list[LineSum]:
    """The sums of corrections' lines, as those of line files are; in order."""
    schema: Any = CORRECTION_SCHEMA
    table = _worded(lines.select(schema.names))
    names = [name for name in LineSum.__struct_fields__ if name in schema.names]
    keys = [name for name in names if name not in {"units", "amount_pico", "calls"}]
    found = table.group_by(keys, use_threads=False)
    rows: list[dict[str, Any]] = found.aggregate([("units", "sum"), ("calls", "sum")]).to_pylist()
    sums: list[LineSum] = []
    for row in rows:
        units, calls = row.pop("units_sum"), row.pop("calls_sum")
        if row["of_period"] == row["period"]:
            row["of_period"] = ""
        row |= {"units": units, "calls": calls, "amount_pico": units * row["price_pico"]}
        if units:
            sums.append(LineSum(**row))
    return sorted(sums)


def _plain(table: pa.Table, batch: int) -> pa.Table:
    """Without what is not compared; of a correction's lines those of calls of this batch."""
    if "corrects" in table.column_names:
        table = table.filter(pc.equal(table["corrects"], batch))
        table = table.set_column(table.column_names.index("period"), "period", table["of_period"])
    return _worded(table.select([name for name in SCHEMA.names if name != "amount_pico"]))


def _worded(table: pa.Table) -> pa.Table:
    """Words as words, instead of places in a list of them."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, table.column_names)


def _whole(column: pa.ChunkedArray[Any]) -> list[int]:
    return cast("list[int]", column.to_pylist())


def _marked(table: pa.Table, *, new: bool) -> pa.Table:
    """With the units that a line adds to what was booked, and those that were."""
    units, zeros = table["units"], pa.array([0] * table.num_rows, pa.int64())
    more, was = (units, zeros) if new else (pc.negate(units), units)
    return table.append_column("more", more).append_column("was", was)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Differences one after the other, of ``CORRECTION_SCHEMA``."""
    if not tables:
        return CORRECTION_SCHEMA.empty_table()
    table: Any = pa.concat_tables(tables)
    schema: Any = CORRECTION_SCHEMA
    columns: list[Any] = []
    for field in schema:
        column = table[field.name].combine_chunks()
        if pa.types.is_dictionary(field.type):
            column = column.dictionary_encode()
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)
