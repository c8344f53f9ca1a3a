"""Instants: days, zones and currencies as documents write them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo, available_timezones

from steelyard.catalogue.places import Path
from steelyard.catalogue.sheets import Sheet, suggestion
from steelyard.values import money, periods


def zone(sheet: Sheet, path: Path, name: str) -> str | None:
    """A time zone's name; None, with a fault, when there is no such zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones, "Asia"
        known = available_timezones()
        hint = suggestion(name, known) if len(name) > 1 else "; write it like Asia/Shanghai"
        sheet.fault(path, f'unknown time zone "{name}"{hint}')
        return None
    return name


def currency(sheet: Sheet, path: Path, code: str) -> str | None:
    """A currency's code; None, with a fault, when its totals can't be rounded here."""
    if code not in money.CURRENCY_PLACES:
        sheet.fault(path, f'unknown currency "{code}"{suggestion(code, money.CURRENCY_PLACES)}')
        return None
    return code


def day(written: date, where: str) -> int:
    """The first instant of a day in a zone. Unit: µs since 1970-01-01 UTC."""
    start = datetime(written.year, written.month, written.day, tzinfo=ZoneInfo(where))
    return periods.to_us(start)


def instant(sheet: Sheet, path: Path, written: object, where: str) -> int | None:
    """A day (its first instant in the zone) or a full instant. Unit: µs since 1970-01-01 UTC."""
    if isinstance(written, datetime):
        if written.tzinfo is None:
            shown = written.isoformat()
            sheet.fault(path, f"which zone is {shown} in? Write {shown}Z or {shown}+08:00")
            return None
        return periods.to_us(written)
    if isinstance(written, date):
        return day(written, where)
    sheet.fault(path, "write a day, 2026-01-01, or an instant, 2026-01-01T00:00:00+08:00")
    return None
