"""Files: usage in Parquet, rated into line files apart from the books.

It is how a batch is rated and written, with neither journal nor ledger: what a customer's past
usage would have cost, or what another system has weighed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from steelyard.catalogue.documents import Edition
from steelyard.catalogue.sheets import suggestion
from steelyard.clerk import parquet
from steelyard.clerk.parquet import LineFile
from steelyard.rating import calls, columnar
from steelyard.rating.columnar import Rated
from steelyard.rating.counting import Counter
from steelyard.rating.schema import WORD
from steelyard.values.meters import METERS

CALLS_AT_ONCE = 1 << 19
_EDITION = 1


class UsageFileError(ValueError):
    """A file that is no usage, and why."""

    code = "usage_file_wrong"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was rated: how many calls, those without a price, and the lines of the others."""

    calls: int = 0
    unrated: int = 0
    lines: int = 0
    files: tuple[LineFile, ...] = ()


def rate(source: Path, folder: Path, edition: Edition) -> Written:
    """Rate a Parquet file of usage (see ``calls.columns_of``) under one edition.

    While a batch is rated, the one before it is written and the next one is read.
    Raises: UsageFileError, OSError.
    """
    check(source)
    counters: dict[Counter, int] = {}
    found = Written()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        batches = _batches(source)
        coming = reader.submit(next, batches, None)
        writing: Future[LineFile] | None = None
        number = 0
        while (table := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            rated = columnar.rate(
                calls.columns_of(table, _EDITION), {_EDITION: edition}, None, counters
            )
            counters |= rated.counters
            number += 1
            found = _with(found, table, rated, writing)
            writing = writer.submit(parquet.write, folder, number, rated.table)
        return found if writing is None else _written(found, writing)


def check(source: Path) -> None:
    """See that a file has the columns that usage has, and no others. Raises: UsageFileError."""
    try:
        schema = pq.read_schema(source)
    except pa.ArrowInvalid as exc:
        msg = f"{source} is no Parquet file"
        raise UsageFileError(msg) from exc
    known = {"call_id", "at_us", "duration_us", *calls.WORDS, *METERS}
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name not in known:
            msg = f'{source}: column "{name}" is not known{suggestion(name, known)}'
            raise UsageFileError(msg)
        if not _fits(name, kind):
            wanted = "16 bytes" if name == "call_id" else "text" if name in calls.WORDS else "int64"
            msg = f'{source}: column "{name}" is {kind}; it has to be {wanted}'
            raise UsageFileError(msg)
    for name in ("call_id", "at_us", "contract", "model"):
        if name not in schema.names:
            msg = f'{source}: column "{name}" is missing'
            raise UsageFileError(msg)


def _fits(name: str, kind: pa.DataType) -> bool:
    if name == "call_id":
        return kind == pa.binary(calls.ID_BYTES)
    if name in calls.WORDS:
        return kind in {pa.string(), WORD}
    return kind == pa.int64()


def _with(
    found: Written, table: pa.Table, rated: Rated, writing: Future[LineFile] | None
) -> Written:
    """Count a batch more, and wait until the file before it is written: two are held at most."""
    found = msgspec.structs.replace(
        found,
        calls=found.calls + table.num_rows,
        unrated=found.unrated + len(rated.unrated),
        lines=found.lines + rated.table.num_rows,
    )
    return found if writing is None else _written(found, writing)


def _written(found: Written, writing: Future[LineFile]) -> Written:
    return msgspec.structs.replace(found, files=(*found.files, writing.result()))


def _batches(source: Path) -> Iterator[pa.Table]:
    words = [name for name in pq.read_schema(source).names if name in calls.WORDS]
    with pq.ParquetFile(source, read_dictionary=words) as file:
        for batch in file.iter_batches(batch_size=CALLS_AT_ONCE):
            table = pa.Table.from_batches([batch])
            for name in table.column_names:
                if table.column(name).null_count:
                    msg = f'{source}: column "{name}" has places without a value'
                    raise UsageFileError(msg)
            yield table
