"""Subscriptions: what a fee includes in each of its periods, from ``[[subscription]]`` tables."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, cast

from steelyard.catalogue import grants
from steelyard.catalogue.burns import RawBurn
from steelyard.catalogue.documents import UNITS_COUNTED_MAX, Grant, Quota
from steelyard.catalogue.grants import Given, Scope, Sized
from steelyard.catalogue.names import Identifier
from steelyard.catalogue.places import Path
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet, Table
from steelyard.values import money


class RawSubscription(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[[subscription]]`` as it is written."""

    includes: Table | None = None
    fee: Identifier | None = None
    kind: Literal["calls", "tokens", "credits"] = "credits"
    burn: tuple[RawBurn, ...] = ()
    round: object = None


def read(sheet: Sheet, zone: str) -> tuple[Grant, ...]:
    """What the subscriptions of a contract's sheet include; faulty ones are noted."""
    rows = shapes(sheet, "subscription", RawSubscription)
    found = (_subscription(row, zone) for row in rows)
    return tuple(grant for grant in found if grant is not None)


def _subscription(row: Found[RawSubscription], zone: str) -> Grant | None:
    raw = row.value
    if (raw.fee is None) == (raw.includes is None):
        row.fault(
            (), "how much? Write includes = { calls = 90_000 }, or the fee whose plans say it"
        )
        return None
    return _included(row, zone) if raw.fee is None else _of_fee(row, zone, raw.fee)


def _of_fee(row: Found[RawSubscription], zone: str, fee: str) -> Grant | None:
    """What the terms of a fee include: how much, its plans say."""
    raw = row.value
    given = grants.burning(row, raw.kind, [Fraction(1)], raw.burn, raw.round)
    if given is None:
        return None
    more = {"of": fee, "shared": raw.shared is None or raw.shared, "paid": True}
    return grants.grant_of(row, raw, given._replace(size=0), zone, more)


def _included(row: Found[RawSubscription], zone: str) -> Grant | None:
    """What one subscription includes: a grant with a quota for each window."""
    raw = row.value
    table = cast("Table", raw.includes)
    if len(table) != 1 or next(iter(table)) not in _SIZED:
        reason = f"write one of {', '.join(_SIZED)}: includes = {{ calls = {{ month = 90_000 }} }}"
        row.fault(("includes",), reason)
        return None
    ((kind, written),) = table.items()
    sizes = grants.windows(row, ("includes", kind), written, _SIZED[kind])
    if sizes is None:
        return None
    given: Given | None = Given("money", grants.PAYABLE, 0, scale=money.PICO)
    parts = 1
    if kind != "amount":
        given = grants.burning(row, kind, [size for _, size in sizes], raw.burn, raw.round)
        parts = 1 if given is None else given.scale
    if given is None:
        return None
    quotas = tuple(
        Quota(name=name, size=int(size * parts), per=grants.PER.get(name, name))
        for name, size in sizes
    )
    shared = raw.shared is None or raw.shared
    given = given._replace(size=0)
    more = {"quotas": quotas, "shared": shared, "paid": True}
    return grants.grant_of(row, raw, given, zone, more)


_MOST = UNITS_COUNTED_MAX


def _whole(sheet: Sheet, path: Path, written: object) -> Fraction | None:
    if isinstance(written, int) and not isinstance(written, bool) and 1 <= written <= _MOST:
        return Fraction(written)
    sheet.fault(path, f"write a whole number between 1 and {_MOST}")
    return None


_SIZED: dict[str, Sized] = {
    "calls": _whole,
    "tokens": _whole,
    "credits": grants.credits_size,
    "amount": grants.amount,
}
