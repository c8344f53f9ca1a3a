"""Reading: what the tables of several kinds of items have in common."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated

import msgspec

from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Found, Sheet, T
from steelyard.values import money

DAY_MIN, DAY_MAX = date(2000, 1, 1), date(2099, 12, 31)
"""When something may begin: months are charged one after the other from there on."""

Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
"""How many seats, days, months a document may say."""


def amount(sheet: Sheet, path: Path, written: object, currency: str) -> int | None:
    """An amount in whole coins, as decimal text; None, with a fault, when it is none."""
    if not isinstance(written, str):
        sheet.fault(path, 'write an amount as decimal text in quotes, "200.00"')
        return None
    try:
        found = money.amount(written)
    except money.MoneyError as exc:
        sheet.fault(path, str(exc))
        return None
    if found < 0:
        sheet.fault(path, f'an amount is not negative; "{written}" would pay the customer')
        return None
    if found % money.coin_pico(currency):
        places = money.CURRENCY_PLACES[currency]
        sheet.fault(path, f'"{written}" can\'t be paid in {currency}: at most {places} decimals')
        return None
    return found


def price(sheet: Sheet, path: Path, written: object, units: int = 1) -> int | None:
    """A price of so many units, as decimal text. Unit: pico-units for one."""
    if not isinstance(written, str):
        sheet.fault(path, 'write a price as decimal text in quotes, "121.00"')
        return None
    try:
        found = money.price_per_unit(written)
    except money.MoneyError as exc:
        sheet.fault(path, str(exc))
        return None
    if found < 0:
        sheet.fault(path, f'a price is not negative; "{written}" would pay the customer')
        return None
    if found % units:
        sheet.fault(path, f'"{written}" for {units:,} is finer than 10⁻¹² for one')
        return None
    return found // units


def lasts(row: Found[T], since: date | None, until: date | None) -> bool:
    """Whether a day ``until`` is after a day ``from``, which can be right; else it is a fault."""
    if since is not None and not DAY_MIN <= since <= DAY_MAX:
        row.fault(("from",), f"{since} is not between {DAY_MIN} and {DAY_MAX}; is the year right?")
        return False
    if since is not None and until is not None and until <= since:
        row.fault(("until",), f"it ends before it begins, on {since}")
        return False
    return True


def unique(row: Found[T], list_name: str, ids: Iterable[str]) -> bool:
    """Whether the ids in a list of a table are different; else it is a fault."""
    seen: set[str] = set()
    for index, each in enumerate(ids):
        if each in seen:
            row.fault((list_name, index, "id"), f'"{each}" stands here twice; ids are different')
            return False
        seen.add(each)
    return True


def iso(day: date | None) -> str | None:
    """A day as values hold it: ``2026-11-10``."""
    return None if day is None else day.isoformat()
