"""Percentages and factors, as documents write them, in parts per million."""

from __future__ import annotations

import re

from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Sheet
from steelyard.values import money

FACTOR_MAX_PPM = 1000 * money.PER_MILLION

_PERCENT = re.compile(r"(.*\S)\s*%")
_PPM_PER_PERCENT = 10_000


def discount(sheet: Sheet, path: Path, written: object) -> int | None:
    """A discount as parts per million. ``"12.5%"`` is 125,000; without one it is 0."""
    if written is None:
        return 0
    match = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        sheet.fault(path, 'write a discount in per cent and in quotes, "12%" or "12.5%"')
        return None
    try:
        ppm = money.scaled(match.group(1), _PPM_PER_PERCENT)
    except money.MoneyError:
        sheet.fault(
            path, f'"{written}" is no discount; write it with at most four decimals, "12.5%"'
        )
        return None
    if not 0 <= ppm <= money.PER_MILLION:
        sheet.fault(path, f'a discount is between 0% and 100%, not "{written}"')
        return None
    return ppm


def percent(sheet: Sheet, path: Path, written: object, what: str) -> int | None:
    """A part of something as parts per million; without one it is 0. ``what`` is what it is."""
    if written is None:
        return 0
    found = _percent(written)
    if found is None:
        reason = 'between "0%" and "100%", in quotes and with at most four decimals'
        sheet.fault(path, f"write the {what} in per cent, {reason}")
    return found


def _percent(written: object) -> int | None:
    match = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        return None
    try:
        ppm = money.scaled(match.group(1), _PPM_PER_PERCENT)
    except money.MoneyError:
        return None
    return ppm if 0 <= ppm <= money.PER_MILLION else None


def factor(sheet: Sheet, path: Path, written: object) -> int | None:
    """A factor as parts per million: ``"2"`` is 2,000,000."""
    if not isinstance(written, str):
        sheet.fault(path, 'write a factor as decimal text in quotes, "2" or "0.5"')
        return None
    try:
        ppm = money.scaled(written, money.PER_MILLION)
    except money.MoneyError:
        sheet.fault(path, f'"{written}" is no factor; write it with at most six decimals, "0.5"')
        return None
    if not 0 <= ppm <= FACTOR_MAX_PPM:
        sheet.fault(path, f'a factor is between 0 and 1000, not "{written}"')
        return None
    return ppm
