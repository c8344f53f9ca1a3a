"""Differences: where the books are not what they must be, as exactly as it can be said."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from steelyard.clerk import parquet

_Row = TypeVar("_Row", bound=msgspec.Struct)

_UNREADABLE = (OSError, ValueError, pa.ArrowException)
"""What reading a damaged Parquet file raises, text that is no UTF-8 included."""


class DifferenceError(Exception):
    """The first place where the books differ from what journal and documents give.

    ``place`` is a file and a byte of it, or a table and a row.
    """

    code = "books_differ"

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


def differ(place: str, reason: str) -> NoReturn:
    """Raise the difference."""
    raise DifferenceError(place, reason)


def same(place: str, name: str, found: object, rebuilt: object) -> None:
    """Compare one value. Raises: DifferenceError."""
    if found != rebuilt:
        differ(place, f"{name} is {_shown(found)}, and must be {_shown(rebuilt)}")


def same_row(place: str, found: _Row, rebuilt: _Row) -> None:
    """Compare two rows, field by field. Raises: DifferenceError."""
    for name in found.__struct_fields__:
        same(place, name, getattr(found, name), getattr(rebuilt, name))


def same_rows(place: Callable[[_Row], str], found: Sequence[_Row], rebuilt: Sequence[_Row]) -> None:
    """Compare rows one after the other. Raises: DifferenceError."""
    for here, there in zip(found, rebuilt, strict=False):
        same_row(place(there), here, there)
    if len(found) > len(rebuilt):
        differ(place(found[len(rebuilt)]), "the row is one too many")
    if len(found) < len(rebuilt):
        differ(place(rebuilt[len(found)]), "the row is missing")


def same_file(name: str, found: bytes, rebuilt: pa.Table, *, untouched: bool) -> None:
    """Compare a line file with the lines that it must hold.

    ``untouched`` says that it has the hash that the books recorded: then it may have been written
    by another version of the library, and it is the lines that count.
    Raises: DifferenceError with the byte, the column and the line.
    """
    written = parquet.encode(rebuilt)
    if found == written:
        return
    place = name if untouched else f"{name}, byte {_first_byte(found, written)}"
    try:
        table = pq.read_table(io.BytesIO(found), page_checksum_verification=True)
        _same_table(place, table, rebuilt)
    except _UNREADABLE as exc:
        column = _unreadable_column(found, rebuilt.column_names)
        differ(place + column, f"the file can't be read ({str(exc).splitlines()[0]})")
    if not untouched:
        differ(
            place, "the file is not the one whose hash was booked, though its lines are the same"
        )


def _same_table(place: str, found: pa.Table, rebuilt: pa.Table) -> None:
    if found.column_names != rebuilt.column_names:
        differ(place, f"the columns are {', '.join(found.column_names)}")
    if found.num_rows != rebuilt.num_rows:
        differ(place, f"it has {found.num_rows} lines, and must have {rebuilt.num_rows}")
    for column in rebuilt.column_names:
        pairs = zip(found[column].to_pylist(), rebuilt[column].to_pylist(), strict=True)
        for line, (here, there) in enumerate(pairs, start=1):
            same(f"{place}, line {line}", column, here, there)


def _unreadable_column(data: bytes, names: Sequence[str]) -> str:
    """The column that the damage is in; nothing when it is in what all columns need."""
    try:
        pq.read_metadata(io.BytesIO(data))
    except _UNREADABLE:
        return ""
    for column in names:
        try:
            pq.read_table(io.BytesIO(data), columns=[column], page_checksum_verification=True)
        except _UNREADABLE:
            return f", column {column}"
    return ""


def _first_byte(found: bytes, written: bytes) -> int:
    """Where two files part; both are some megabytes, so halving is quicker than a loop."""
    low, high = 0, min(len(found), len(written))
    while low < high:
        middle = (low + high + 1) // 2
        if found[:middle] == written[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
