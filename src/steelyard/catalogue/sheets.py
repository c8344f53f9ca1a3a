"""Sheets: the TOML files being read, and what is wrong with them, by line and column."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar, cast

import msgspec

from steelyard.catalogue.places import Path, Place, locate

T = TypeVar("T")

Table = dict[str, object]

_AT_LINE = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)


class Fault(msgspec.Struct, frozen=True, order=True):
    """What is wrong, where, and what to write instead."""

    file: str
    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        """As compilers print it: ``contracts/acme.toml:12:3: reason``."""
        return f"{self.file}:{self.line}:{self.column}: {self.reason}"


class Sheet:
    """One file's text as a table, gathering the faults and warnings that readers find in it.

    A text that is no TOML is an empty table with one fault, and not ``readable``.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.table: Table = {}
        self.readable = True
        try:
            self.table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            self.readable = False
            self.faults.append(self._syntax_fault(str(exc)))

    def _syntax_fault(self, message: str) -> Fault:
        match = _AT_LINE.fullmatch(message)
        if match is None:  # at the end of the document
            lines = self.text.split("\n")
            place = Place(len(lines), len(lines[-1]) + 1)
            return Fault(self.file, *place, f"not TOML: {message}")
        reason = f"not TOML: {match.group(1)}"
        return Fault(self.file, int(match.group(2)), int(match.group(3)), reason)

    @cached_property
    def _places(self) -> dict[Path, Place]:
        return locate(self.text) if self.readable else {}

    def rows(self, name: str) -> list[Table]:
        """The tables of a top-level list, ``[[name]]``; what is no table is left out."""
        raw = self.table.get(name)
        rows = cast("list[object]", raw) if isinstance(raw, list) else []
        return [cast("Table", row) for row in rows if isinstance(row, dict)]

    def place(self, path: Path) -> Place:
        """Where a path is written, or else the nearest thing around it."""
        while path:
            if path in self._places:
                return self._places[path]
            path = path[:-1]
        return Place(1, 1)

    def fault(self, path: Path, reason: str) -> None:
        """Note what is wrong at a path."""
        self.faults.append(Fault(self.file, *self.place(path), reason))

    def warn(self, path: Path, reason: str) -> None:
        """Note what is odd at a path, but may be meant."""
        self.warnings.append(Fault(self.file, *self.place(path), reason))


class Found(NamedTuple, Generic[T]):
    """A document and where it was read."""

    sheet: Sheet
    path: Path
    value: T

    def fault(self, inner: Path, reason: str) -> None:
        """Note what is wrong at a path inside the document."""
        self.sheet.fault((*self.path, *inner), reason)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of a few."""
    names = sorted(set(known))
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    if not names:
        return "; there is none yet"
    shown = ", ".join(names[:12])
    return f"; there is {shown}" + (" and more" if len(names) > 12 else "")  # noqa: PLR2004
