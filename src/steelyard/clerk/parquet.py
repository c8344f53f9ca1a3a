"""Line files: a batch's lines as Parquet, the same bytes whenever the same lines are written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steelyard.rating.lines import Line
from steelyard.rating.schema import SCHEMA, WORD

ROW_GROUP_LINES_MAX = 1 << 20
_NEXT_NAME = "next"
_CODED: Any = [name for name in SCHEMA.names if SCHEMA.field(name).type == WORD] + [
    "call_id",
    "price_pico",
]
"""The columns of few values; the others would only be tried as such, and written again."""


class LineFile(msgspec.Struct, frozen=True):
    """A line file's size and hash."""

    size: int
    sha256: bytes


def path_of(folder: Path, batch: int) -> Path:
    """Where the lines of a batch are."""
    return folder / f"{batch:08d}.parquet"


def encode(table: pa.Table) -> bytes:
    """A table's bytes: nothing in them but the lines and the name of the library."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP_LINES_MAX,
        version="2.6",
        compression="zstd",
        compression_level=1,
        use_dictionary=_CODED,
        column_encoding=dict.fromkeys(("at_us", "units"), "DELTA_BINARY_PACKED"),
        write_statistics=["period"],
        write_page_checksum=True,
    )
    return sink.getvalue().to_pybytes()


def write(folder: Path, batch: int, table: pa.Table) -> LineFile:
    """Write a batch's lines; on return they are on the disk under their name.

    A file of the same name, from a clerk that was killed before it booked the batch, is replaced.
    """
    data = encode(table)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / _NEXT_NAME
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path_of(folder, batch))
    sync(folder)
    return LineFile(len(data), hashlib.sha256(data).digest())


def read(folder: Path, batch: int) -> pa.Table:
    """The lines of a batch. Raises: OSError."""
    return pq.read_table(path_of(folder, batch))


def lines_of(folder: Path, batch: int, call_id: bytes) -> tuple[Line, ...]:
    """The lines of one call of a batch. Raises: OSError."""
    table = read(folder, batch).select(SCHEMA.names)
    mine = pc.equal(table.column("call_id").cast(pa.binary(16)), pa.scalar(call_id, pa.binary(16)))
    rows: list[dict[str, Any]] = table.select(SCHEMA.names).filter(mine).to_pylist()
    for row in rows:
        row["amount_pico"] = int(row["amount_pico"])
    return tuple(Line(**row) for row in rows)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
