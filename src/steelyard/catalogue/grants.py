"""Grants: what a contract gives that pays before money does, from its ``[[grant]]`` tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec

from steelyard.catalogue import burns, instants
from steelyard.catalogue.burns import RawBurn, Steps
from steelyard.catalogue.documents import UNITS_COUNTED_MAX, Burn, Grant, Labels
from steelyard.catalogue.names import Identifier, Pattern
from steelyard.catalogue.places import Path
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet, suggestion
from steelyard.values import money
from steelyard.values.meters import MADE, METERS

PARTS_MAX = 2**60
"""The most parts that are counted of a grant: a credit is at most about a million."""

TOKENS = tuple(name for name, m in METERS.items() if m.unit == "token" and name[0] != "t")
"""What a grant of tokens pays for: all tokens but those trained on."""

PAYABLE = tuple(name for name in METERS if name != "credit")
"""What a credit pays for."""

COVERED = tuple(name for name in METERS if name not in MADE)
"""What units can be given of, and what a call is that is covered whole."""

CACHED = ("cached_input_tokens",)

Size = Annotated[int, msgspec.Meta(ge=1, le=UNITS_COUNTED_MAX)]
Models = Pattern | tuple[Pattern, ...]
ServiceTier = Literal["standard", "priority", "flex", "batch"]


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all tables say that cover calls: which calls, when, and in which order."""

    id: Identifier
    model: Models
    service_tier: ServiceTier | None = None
    not_service_tier: ServiceTier | tuple[ServiceTier, ...] = ()
    region: Pattern | None = None
    mode: Pattern | None = None
    valid_from: date = msgspec.field(name="from")
    until: date | None = None
    by: Literal["start", "end"] = "start"
    shared: bool | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=99)] = 0
    cached: Literal["covered", "charged", "excluded"] = "covered"
    last_call: Literal["divided", "charged", "covered"] = "divided"
    used_up: Literal["charge", "stop"] = "charge"


class _Grant(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: Size | None = None
    meter: str | None = None
    units: Size | None = None
    calls: Size | None = None
    credits: object = None
    amount: object = None
    burn: tuple[RawBurn, ...] = ()
    item_price: object = None
    round: object = None
    every: Literal["month"] | None = None
    backdated: date | None = None
    paid: bool = False


class Given(NamedTuple):
    """What a grant gives: of which meters, how much, and what units count as. Unit: parts."""

    gives: Literal["units", "calls", "credits", "money"]
    meters: tuple[str, ...]
    size: int
    burns: tuple[Burn, ...] = ()
    scale: int = 1
    step: int = 1


def read(sheet: Sheet, zone: str) -> tuple[Grant, ...]:
    """The grants of a contract's sheet, in the order of the file; faulty ones are noted."""
    rows = shapes(sheet, "grant", _Grant)
    return tuple(grant for row in rows if (grant := _grant(row, zone)) is not None)


def ordered(sheet: Sheet, some: tuple[tuple[str, tuple[Grant, ...]], ...]) -> tuple[Grant, ...]:
    """All grants in the order in which they cover; an id that is taken is noted.

    ``some`` are they by the name of their table.
    """
    seen: set[str] = set()
    for name, _ in some:
        for place, row in enumerate(sheet.rows(name)):
            taken = str(row.get("id"))
            if taken in seen:
                reason = f'this contract has a {name} "{taken}" already'
                sheet.fault((name, place, "id"), reason)
            seen.add(taken)
    return tuple(sorted((grant for _, grants in some for grant in grants), key=order))


def order(grant: Grant) -> tuple[object, ...]:
    """Units before money; by priority; given before paid; the soonest expiry; the oldest.

    What is there anew each period expires with it, so it goes before what does not.
    """
    once = grant.every is None and not grant.quotas
    expiry = (grant.until_us is None, grant.until_us or 0)
    money_last = grant.gives == "money"
    return (money_last, grant.priority, grant.paid, once, *expiry, grant.since, grant.id)


def grant_of(
    row: Found[Any], scope: Scope, given: Given, zone: str, more: dict[str, Any]
) -> Grant | None:
    """A grant of some scope, with ``more`` fields; None, with a fault, when its days are wrong."""
    from_us = instants.day(scope.valid_from, zone)
    until_us = None if scope.until is None else instants.day(scope.until, zone)
    if until_us is not None and until_us <= from_us:
        row.fault(("until",), f"it ends before it begins, on {scope.valid_from}")
        return None
    if scope.by == "end" and until_us is None:
        row.fault(("by",), "it has no end that a call could pass; write until, or remove this")
        return None
    excluded = scope.not_service_tier
    meters = given.meters
    if scope.cached != "covered":
        meters = tuple(name for name in meters if name not in CACHED)
    if not meters or not scope.model:
        row.fault((), "this covers nothing; name a model, and what it pays for")
        return None
    grant = Grant(
        id=scope.id,
        model=scope.model,
        meters=meters,
        size=given.size,
        from_us=from_us,
        since=scope.valid_from.isoformat(),
        until_us=until_us,
        until=None if scope.until is None else scope.until.isoformat(),
        shared=bool(scope.shared),
        labels=Labels(service_tier=scope.service_tier, region=scope.region, mode=scope.mode),
        priority=scope.priority,
        gives=given.gives,
        burns=given.burns,
        scale=given.scale,
        step=given.step,
        last_call=scope.last_call,
        by=scope.by,
        tiers_excluded=(excluded,) if isinstance(excluded, str) else excluded,
        cached_excluded=scope.cached == "excluded",
        used_up=scope.used_up,
    )
    return msgspec.structs.replace(grant, **more)


def _grant(row: Found[_Grant], zone: str) -> Grant | None:
    raw = row.value
    given = _given(row)
    if given is None:
        return None
    if given.size > PARTS_MAX:
        row.fault((), "this is more than can be counted so finely; write several of them")
        return None
    more: dict[str, Any] = {"every": raw.every, "paid": raw.paid}
    if raw.backdated is not None:
        if raw.backdated >= raw.valid_from:
            row.fault(("backdated",), f"it pays from {raw.valid_from} on anyway")
            return None
        more["from_us"] = instants.day(raw.backdated, zone)
        more["backdated"] = raw.backdated.isoformat()
    if raw.shared is None and (given.gives in {"credits", "money"} or given.burns):
        more["shared"] = True
    return grant_of(row, raw, given, zone, more)


_AMOUNTS = ("tokens", "units", "calls", "credits", "amount")


def _given(row: Found[_Grant]) -> Given | None:
    raw = row.value
    written = [name for name in _AMOUNTS if getattr(raw, name) is not None]
    if len(written) != 1:
        reason = "how much? Write tokens = 1_000_000, a meter and its units, calls, credits"
        row.fault((), f'{reason}, or amount = "100.00"')
        return None
    kind = written[0]
    if raw.meter is not None and kind != "units":
        row.fault(("meter",), f"{kind} are of all meters; write units for one meter")
        return None
    for name, kinds in (
        ("burn", ("tokens", "calls", "credits")),
        ("item_price", ("tokens",)),
        ("round", ("tokens", "credits")),
    ):
        if getattr(raw, name) not in (None, ()) and kind not in kinds:
            row.fault((name,), f"{name} is not for {kind}; remove it")
            return None
    match kind:
        case "units":
            return _units(row)
        case "amount":
            return _amount(row.sheet, (*row.path, "amount"), raw.amount)
        case "tokens" if raw.item_price is not None:
            return _items(row)
        case "tokens" if not raw.burn:
            if raw.round is not None:
                row.fault(("round",), "each token counts as one; remove this, or write burn")
                return None
            assert raw.tokens is not None
            return Given("units", TOKENS, raw.tokens)
        case _:
            return _burning(row, kind)


def _units(row: Found[_Grant]) -> Given | None:
    raw = row.value
    if raw.meter not in COVERED:
        known = suggestion(raw.meter or "", COVERED)
        row.fault(("meter",), f'units of what? There is no meter "{raw.meter or ""}"{known}')
        return None
    assert raw.units is not None
    return Given("units", (raw.meter,), raw.units)


def _amount(sheet: Sheet, path: Path, written: object) -> Given | None:
    pico = amount(sheet, path, written)
    return None if pico is None else Given("money", PAYABLE, pico, scale=money.PICO)


def amount(sheet: Sheet, path: Path, written: object) -> int | None:
    """An amount of a credit. Unit: pico-units; None, with a fault, when it is none."""
    if not isinstance(written, str):
        sheet.fault(path, 'write an amount as decimal text in quotes, "100.00"')
        return None
    try:
        pico = money.amount(written)
    except money.MoneyError as exc:
        sheet.fault(path, str(exc))
        return None
    if not 0 < pico <= PARTS_MAX:
        most = money.exact(PARTS_MAX)
        sheet.fault(path, f'a credit is above 0 and at most {most}, not "{written}"')
        return None
    return pico


def _items(row: Found[_Grant]) -> Given | None:
    """Tokens of some price: dearer ones use up as many times more."""
    raw = row.value
    where = (*row.path, "item_price")
    if raw.burn or raw.round is not None:
        row.fault(("item_price",), "units count by their price, or by burn; keep one")
        return None
    price = _price(row.sheet, where, raw.item_price)
    if price is None:
        return None
    assert raw.tokens is not None
    return Given("units", TOKENS, raw.tokens * price, (Burn(model="*", tariff=None),), price)


def _price(sheet: Sheet, path: Path, written: object) -> int | None:
    try:
        price = money.price_per_million(written) if isinstance(written, str) else 0
    except money.MoneyError:
        price = 0
    if price > 0:
        return price
    sheet.fault(path, 'write the price of a million as decimal text in quotes, "4"')
    return None


def _burning(row: Found[_Grant], kind: str) -> Given | None:
    raw = row.value
    size = Fraction(raw.tokens or raw.calls or 0)
    if kind == "credits":
        found = credits_size(row.sheet, (*row.path, "credits"), raw.credits)
        if found is None:
            return None
        size = found
    return burning(row, kind, [size], raw.burn, raw.round)


def credits_size(sheet: Sheet, path: Path, written: object) -> Fraction | None:
    """How many credits: a whole number, or an exact one in quotes."""
    if isinstance(written, int) and not isinstance(written, bool):
        if 1 <= written <= UNITS_COUNTED_MAX:
            return Fraction(written)
        sheet.fault(path, f"write between 1 and {UNITS_COUNTED_MAX} credits")
        return None
    return burns.fraction(sheet, path, written)


def burning(
    row: Found[Any],
    kind: str,
    sizes: Sequence[Fraction],
    raw: tuple[RawBurn, ...],
    rounded: object = None,
) -> Given | None:
    """What is given where units count as something; None, with a fault, when that is wrong.

    ``sizes`` are all that have to be whole in parts, the first of which is given.
    """
    meters: tuple[str, ...] = ("requests",) if kind == "calls" else TOKENS
    some: tuple[Steps, ...] | None = burns.read(row.sheet, (*row.path, "burn"), raw, meters)
    step = Fraction(0)
    if rounded is not None:
        found = burns.fraction(row.sheet, (*row.path, "round"), rounded)
        if not found:
            row.fault(("round",), 'write to what it is rounded, above 0, like round = "0.01"')
            return None
        step = found
    if some is None:
        return None
    if kind == "credits" and not some:
        row.fault((), 'what do tokens burn? Write burn = [{ per_million = { input = "200" } }]')
        return None
    scale = burns.scale(some, *sizes, step)
    if scale > burns.SCALE_MAX or max(sizes) * scale > PARTS_MAX:
        row.fault((), "this is more than can be counted so finely; write rounder numbers")
        return None
    gives: Literal["units", "calls", "credits"] = "units"
    if kind in {"calls", "credits"}:
        gives = "calls" if kind == "calls" else "credits"
    return Given(
        gives,
        COVERED if kind == "calls" else TOKENS,
        int(sizes[0] * scale),
        burns.burns(some, scale),
        scale,
        int(step * scale) or 1,
    )


PER = {"month": "cycle", "week": "week"}
HOURS_MAX = 168


Sized = Callable[[Sheet, Path, object], Fraction | int | None]


def windows(
    row: Found[Any], path: Path, written: object, sized: Sized
) -> tuple[tuple[str, Fraction], ...] | None:
    """How much there is in each window; of one number, in a month from the table's day."""
    table = cast("dict[str, object]", written) if isinstance(written, dict) else {"month": written}
    found: list[tuple[str, Fraction]] = []
    for name, each in table.items():
        where = (*row.path, *path, name) if isinstance(written, dict) else (*row.path, *path)
        hours = name.removesuffix("h")
        rolls = name != hours and hours.isdecimal() and 1 <= int(hours) <= HOURS_MAX
        if name not in PER and not rolls:
            reason = f'"{name}" is no window; there is month, week, and hours like "5h"'
            row.sheet.fault(where, reason)
            return None
        size = sized(row.sheet, where, each)
        if size is None:
            return None
        found.append((name, Fraction(size)))
    if not found:
        row.fault(path, "nothing is included; write { month = 90_000 }")
        return None
    return tuple(found)
