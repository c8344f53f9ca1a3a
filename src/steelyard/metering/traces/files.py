"""Files of text, packed or not, as lines of bounded length."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from steelyard.metering.traces.rows import LINE_BYTES_MAX, TraceError

_CHUNK_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines(path: Path, advanced: Callable[[int], object]) -> Iterator[str]:
    """The lines of a file without their ends, be they LF or CRLF.

    A line longer than LINE_BYTES_MAX comes cut, and still longer than that. What is not UTF-8 comes
    as surrogates. ``advanced`` is told how far the file is read. Unit: bytes on the disk.
    Raises: TraceError for a damaged packed file, after the lines before the damage.
    """
    with path.open("rb") as file:
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        source = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if packed else file
        rest, begun = b"", False
        while chunk := _read(source, path):
            if not begun:
                chunk, begun = chunk.removeprefix(_BYTE_ORDER_MARK), True
            advanced(file.tell())
            whole, newline, after = chunk.rpartition(b"\n")
            if not newline:
                rest = (rest + chunk)[: LINE_BYTES_MAX + 1]
                continue
            text = (rest + whole + newline).decode("utf-8", "surrogateescape")
            yield from text.replace("\r\n", "\n")[:-1].split("\n")
            rest = after
        if rest:
            yield rest.decode("utf-8", "surrogateescape").removesuffix("\r")


def _read(source: BinaryIO, path: Path) -> bytes:
    try:
        return source.read(_CHUNK_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        msg = f"{path.name} is damaged: {exc}"
        raise TraceError(msg) from exc
