"""Places: the line and column of everything that a TOML text says."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Where a thing stands in a document: ``("price", 2, "discount")``."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})|'
    r"'''.*?'''(?:'{0,2})|"
    r'"(?:[^"\\]|\\.)*"|'
    r"'[^']*'",
    re.DOTALL,
)


class Place(NamedTuple):
    """A position in a text. Unit: lines and characters, both from 1."""

    line: int
    column: int


def locate(text: str) -> dict[Path, Place]:
    """The place of each table, key and list element of a valid TOML text.

    A key's place is where it is first written; a list element's is its own.
    """
    reader = _Reader(text)
    reader.document()
    line_starts = [0] + [match.end() for match in re.finditer("\n", text)]
    found: dict[Path, Place] = {}
    for path, offset in reader.offsets.items():
        line = bisect_right(line_starts, offset)
        found[path] = Place(line, offset - line_starts[line - 1] + 1)
    return found


class _Reader:
    """Goes through a valid text once and notes where things begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._peek_after(_BLANK):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek_after(self, skipped: re.Pattern[str]) -> str:
        match = skipped.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def _header(self) -> Path:
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        names = self._names()
        self.at += brackets
        path: Path = ()
        for name, _ in names[:-1]:
            path = (*path, name)
            self.offsets.setdefault(path, start)
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
        path = (*path, names[-1][0])
        self.offsets.setdefault(path, start)
        if brackets > 1:
            index = self.lengths.get(path, 0)
            self.lengths[path] = index + 1
            path = (*path, index)
        self.offsets[path] = start
        return path

    def _names(self) -> list[tuple[str, int]]:
        names: list[tuple[str, int]] = []
        while True:
            quoted = self._peek_after(_SPACE) in {'"', "'"}
            match = (_STRING if quoted else _BARE_KEY).match(self.text, self.at)
            assert match is not None
            written = match.group()
            name = str(tomllib.loads(f"name = {written}")["name"]) if quoted else written
            names.append((name, self.at))
            self.at = match.end()
            if self._peek_after(_SPACE) != ".":
                return names
            self.at += 1

    def _pair(self, table: Path) -> None:
        path = table
        for name, offset in self._names():
            path = (*path, name)
            self.offsets.setdefault(path, offset)
        assert self.text[self.at] == "="
        self.at += 1
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self._peek_after(_SPACE)
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            match = (_STRING if first in {'"', "'"} else _SCALAR).match(self.text, self.at)
            assert match is not None
            self.at = match.end()

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._peek_after(_BLANK) != "]":
            self.offsets[(*path, index)] = self.at
            self._value((*path, index))
            index += 1
            if self._peek_after(_BLANK) == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._peek_after(_BLANK) != "}":
            self._pair(path)
            if self._peek_after(_BLANK) == ",":
                self.at += 1
        self.at += 1
