"""Publishing: what was issued as files in the studio's folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from steelyard.clerk.issuing import Document
from steelyard.clerk.printing import DocumentFile


def publish(documents: Iterable[Document], folder: Path) -> tuple[str, ...]:
    """Write each document that is missing or not as it was issued; the paths that were written.

    A file appears under its name only when it is whole and on the disk, so that a kill leaves
    nothing that a second run doesn't mend.
    """
    files = [each for document in documents for each in document.files]
    wanting = [each for each in files if not _stands(each, folder)]
    for each in wanting:
        _write(each, folder)
    for parent in sorted({(folder / each.path).parent for each in wanting}):
        _settle(parent)
    return tuple(each.path for each in wanting)


def _stands(file: DocumentFile, folder: Path) -> bool:
    path = folder / file.path
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _write(file: DocumentFile, folder: Path) -> None:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as opened:
        opened.write(file.content)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(path)


def _settle(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
