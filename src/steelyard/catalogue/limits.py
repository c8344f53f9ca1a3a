"""Limits: what callers may use in a minute, a day and at once, parsed from ``steelyard.toml``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from steelyard.catalogue import instants
from steelyard.catalogue.names import Identifier, Pattern
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet

Subject = Literal["key", "workspace", "customer", "model"]

_Units = Annotated[int, Meta(ge=1, le=10**15)]
_Calls = Annotated[int, Meta(ge=1, le=1_000_000)]
_Seconds = Annotated[int, Meta(ge=1, le=60)]
_Patterns = tuple[Pattern, ...]


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each of its subjects may use: each key, each customer, each customer's each model.

    ``keys``, ``workspaces``, ``customers`` and ``models`` are shell patterns of the calls that
    count. Unit: ``*_per_minute`` and ``*_per_day`` requests or tokens, where ``tokens`` are input
    and output together; ``concurrency`` calls at once; ``burst_s`` seconds whose sixtieths of a
    minute may be used at once, None: the whole minute. ``zone`` is where the days begin, None: in
    the customer's zone, or the studio's for a model of all customers.
    """

    id: Identifier
    of: Subject | tuple[Subject, ...]
    keys: _Patterns = ("*",)
    workspaces: _Patterns = ("*",)
    customers: _Patterns = ("*",)
    models: _Patterns = ("*",)
    requests_per_minute: _Units | None = None
    input_tokens_per_minute: _Units | None = None
    output_tokens_per_minute: _Units | None = None
    tokens_per_minute: _Units | None = None
    requests_per_day: _Units | None = None
    input_tokens_per_day: _Units | None = None
    output_tokens_per_day: _Units | None = None
    tokens_per_day: _Units | None = None
    concurrency: _Calls | None = None
    burst_s: _Seconds | None = None
    zone: str | None = None


_PER_MINUTE = (
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "tokens_per_minute",
)
_PER_DAY = (
    "requests_per_day",
    "input_tokens_per_day",
    "output_tokens_per_day",
    "tokens_per_day",
)


def subjects(limit: Limit) -> tuple[Subject, ...]:
    """Whose use is counted apart."""
    return limit.of if isinstance(limit.of, tuple) else (limit.of,)


def daily(limit: Limit) -> Limit | None:
    """The same with no other bounds than those on days; None: it has none."""
    others = dict.fromkeys((*_PER_MINUTE, "concurrency", "burst_s"))
    return msgspec.structs.replace(limit, **others) if _bounds(limit, _PER_DAY) else None


def unsized(limit: Limit) -> Limit:
    """The same, whatever its bounds on days allow."""
    ones = {name: 1 for name in _PER_DAY if getattr(limit, name) is not None}
    return msgspec.structs.replace(limit, **ones)


def read(sheet: Sheet) -> list[Found[Limit]]:
    """Parse the ``[[limit]]`` tables."""
    return [row for row in shapes(sheet, "limit", Limit) if _sound(row)]


def _sound(row: Found[Limit]) -> bool:
    limit = row.value
    named = subjects(limit)
    if not named or len(set(named)) < len(named):
        row.fault(("of",), 'say whose use is counted apart, each once; write of = "key"')
        return False
    if not _bounds(limit, (*_PER_MINUTE, *_PER_DAY, "concurrency")):
        row.fault((), "this limits nothing; write requests_per_minute = 60, or another bound")
        return False
    if limit.burst_s is not None and not _bounds(limit, _PER_MINUTE):
        row.fault(
            ("burst_s",), "a burst is a part of a bound per minute; write one, or remove this"
        )
        return False
    if limit.zone is None:
        return True
    return instants.zone(row.sheet, (*row.path, "zone"), limit.zone) is not None


def _bounds(limit: Limit, names: tuple[str, ...]) -> bool:
    return any(getattr(limit, name) is not None for name in names)
