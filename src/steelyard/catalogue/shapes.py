"""Shapes: tables turned into structs; what does not fit becomes sentences with their places."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Literal, Union, cast, get_args, get_origin

import msgspec

from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Found, Sheet, T, Table, suggestion

FAULTS_MAX = 50
"""Faults of shape looked for in one table before the reader gives up on it."""

_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]+)\]")
_MESSAGE = re.compile(r"(?s)(.*?)(?: - at `(?:key in )?\$(.*)`)?")
_QUOTED = re.compile(r"`([^`]*)`")

_KINDS = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date": "a day, like 2026-01-01",
    "datetime": "an instant, like 2026-01-01T00:00:00+08:00",
    "array": "a list in brackets",
    "object": "a table in braces",
    "null": "nothing",
}

_EXAMPLES = {
    "id": 'id = "acme-2026"',
    "customer": 'customer = "acme"',
    "contract": 'contract = "acme-2026"',
    "currency": 'currency = "CNY"',
    "valid_from": "valid_from = 2026-01-01",
    "model": 'model = "qwen3-*"',
    "from": "from = 2026-01-01",
    "vendor": 'vendor = "Alibaba Cloud"',
    "component": 'component = "compute"',
    "earner": 'earner = "our-gpus"',
    "of": 'of = "key"',
    "operator": 'operator = "house"',
    "name": 'name = "A readable name"',
    "kind": 'kind = "openai"',
    "licence": 'licence = "Apache-2.0", or licence = "closed"',
    "studio": '[studio] with name = "..." and operator = "..."',
}

_IDENTIFIER_HINT = (
    "is no name that can be used here; write letters, digits, '.', '_' and '-', "
    "beginning with a letter or digit, at most 64"
)


def shape(
    sheet: Sheet, path: Path, raw: object, kind: type[T], also: Sequence[str] = ()
) -> T | None:
    """Turn one table into a struct; None when it does not fit, with every fault noted.

    ``also`` are names that are fields here although the struct does not have them.
    """
    if not isinstance(raw, dict):
        sheet.fault(path, f"expected a table here, not {_kind_of(raw)}")
        return None
    rest = copy.deepcopy(cast("Table", raw))
    removed: set[Path] = set()
    for _ in range(FAULTS_MAX):
        try:
            value = msgspec.convert(rest, kind)
        except msgspec.ValidationError as exc:
            bad, reason = _explain(str(exc), kind, rest, also)
            if (*bad, *_missing(str(exc))) in removed:
                return None
            sheet.fault((*path, *bad), reason)
            taken = _remove(rest, bad)
            if taken is None:
                return None
            removed.add(taken)
        else:
            return None if removed else value
    return None


def shapes(sheet: Sheet, name: str, kind: type[T]) -> list[Found[T]]:
    """Turn each table of a top-level list, ``[[name]]``, into a struct."""
    raw = sheet.table.get(name, [])
    if not isinstance(raw, list):
        sheet.fault((name,), f"write [[{name}]], with two brackets: there can be several")
        return []
    found: list[Found[T]] = []
    for index, each in enumerate(cast("list[object]", raw)):
        value = shape(sheet, (name, index), each, kind)
        if value is not None:
            found.append(Found(sheet, (name, index), value))
    return found


def _remove(table: Table, path: Path) -> Path | None:
    """Take out what does not fit, so that the rest can be looked at; None when nothing can be."""
    keep = max((i for i, step in enumerate(path) if isinstance(step, str)), default=-1)
    if keep < 0:
        return None
    place: object = table
    for step in path[:keep]:
        place = cast("dict[str | int, object]", place)[step]
    found = cast("Table", place).pop(cast("str", path[keep]), None)
    return None if found is None else path[: keep + 1]


def _missing(message: str) -> tuple[str, ...]:
    """The field that a message misses; nothing when it is about something else."""
    if "missing required field" not in message:
        return ()
    return (_QUOTED.findall(message)[0],)


def _explain(message: str, kind: type, raw: Table, also: Sequence[str]) -> tuple[Path, str]:
    match = _MESSAGE.fullmatch(message)
    assert match is not None
    what, steps = match.group(1), match.group(2) or ""
    path: Path = tuple(
        name or int(index) for name, index in _STEP.findall(steps) if name or index != "..."
    )
    quoted = _QUOTED.findall(what)
    field = str(next((step for step in reversed(path) if isinstance(step, str)), ""))
    if "unknown field" in what:
        known = [*_fields(_type_at(kind, path)), *(() if path else also)]
        return (*path, quoted[0]), f'unknown field "{quoted[0]}"{suggestion(quoted[0], known)}'
    if _missing(what):
        example = _EXAMPLES.get(quoted[0], f"{quoted[0]} = ...")
        return path, f'"{quoted[0]}" is missing; write {example}'
    if what.startswith("Invalid enum value"):
        return path, _not_one_of(what, _type_at(kind, path))
    if "matching regex" in what:
        return path, f"{_value_at(raw, path)!r} {_IDENTIFIER_HINT}"
    bound = re.fullmatch(r"Expected `\w+`(?: of length)? ([<>]=?) (\S+)", what)
    if bound is not None:
        words = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
        length = " character long" if "of length" in what else ""
        return path, f'"{field}" must be {words[bound.group(1)]} {bound.group(2)}{length}'
    if len(quoted) == 2:  # noqa: PLR2004 - what was expected, and what was found
        kinds = [_words(each) for each in quoted[0].split(" | ") if each != "null"]
        return path, f'"{field}" is {_words(quoted[1])}; write {" or ".join(kinds)}'
    return path, f"{what} ({field})" if field else what


def _words(kind: str) -> str:
    return _KINDS.get(kind, kind)


def _not_one_of(what: str, kind: object) -> str:
    value = what.removeprefix("Invalid enum value ").strip("'")
    choices = [str(each) for each in get_args(_plain(kind))]
    return f'"{value}" is not known here{suggestion(value, choices)}'


def _kind_of(value: object) -> str:
    names = {"dict": "object", "list": "array"}
    name = type(value).__name__
    return _words(names.get(name, name))


def _value_at(raw: object, path: Path) -> object:
    for step in path:
        raw = cast("dict[str | int, object]", raw)[step]
    return raw


def _plain(kind: object) -> object:
    """A type without its annotations and without None."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in {Union, UnionType}:
            kind = next(each for each in get_args(kind) if each is not type(None))
        else:
            return kind


def _fields(kind: object) -> dict[str, object]:
    plain = _plain(kind)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(plain)}
    return {}


def _type_at(kind: object, path: Path) -> object:
    for step in path:
        plain = _plain(kind)
        if isinstance(step, str):
            kind = _fields(plain)[step]
        elif get_origin(plain) is not Literal:
            kind = get_args(plain)[0]
    return kind
