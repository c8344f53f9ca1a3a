"""Windows: the ``calendar`` of a price, and dated public holidays, turned into values."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, cast

import msgspec

from steelyard.catalogue import instants, percents
from steelyard.catalogue.documents import Holidays, Window
from steelyard.catalogue.names import Identifier, Text
from steelyard.catalogue.places import Path
from steelyard.catalogue.shapes import shape
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values import money

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORKING = (0, 1, 2, 3, 4)

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_NAMED = re.compile(r"(workdays|weekdays)(?: ([A-Za-z0-9._-]+))?", re.ASCII)
_MINUTES = 60
_DAY_MINUTES = 1440
_DAYS_HINT = 'write days = ["mon", "tue"], "weekdays CN" or "workdays CN"'


class _Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    factor: object = None
    discount: object = None
    days: object = None
    hours: tuple[str, ...] = ("00:00-24:00",)
    by: Literal["start", "end"] = "start"
    zone: str | None = None


class _Holidays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    name: Text
    name_zh: Text | None = None
    years: tuple[int, ...]
    off: tuple[date, ...]
    worked: tuple[date, ...] = ()
    source: Text
    checked: date


def read(sheet: Sheet, path: Path, raw: object, zone: str) -> tuple[Window, ...] | None:
    """Turn a ``calendar``, one window or a list of them, into windows; None when it is faulty."""
    if raw is None:
        return ()
    if isinstance(raw, list):
        rows = [((*path, index), each) for index, each in enumerate(cast("list[object]", raw))]
    else:
        rows = [(path, raw)]
    found = [_window(sheet, where, each, zone) for where, each in rows]
    windows = tuple(each for each in found if each is not None)
    return windows if len(windows) == len(rows) else None


def read_holidays(sheet: Sheet) -> Found[Holidays] | None:
    """Parse a file of public holidays; None when it is faulty."""
    raw = shape(sheet, (), sheet.table, _Holidays)
    if raw is None:
        return None
    for name, days in (("off", raw.off), ("worked", raw.worked)):
        for place, day in enumerate(days):
            if day.year not in raw.years:
                sheet.fault((name, place), f"{day} is in none of the years {list(raw.years)}")
    for day in sorted({*raw.off} & {*raw.worked}):
        sheet.fault(("worked", raw.worked.index(day)), f"{day} is both off and worked")
    holidays = Holidays(
        id=raw.id,
        name=raw.name,
        years=raw.years,
        off=tuple(sorted(day.isoformat() for day in raw.off)),
        worked=tuple(sorted(day.isoformat() for day in raw.worked)),
        source=raw.source,
        checked=raw.checked.isoformat(),
        name_zh=raw.name_zh or "",
    )
    return None if sheet.faults else Found(sheet, (), holidays)


def _window(sheet: Sheet, path: Path, raw: object, zone: str) -> Window | None:
    before = len(sheet.faults)
    window = shape(sheet, path, raw, _Window)
    if window is None:
        return None
    factor_ppm = _factor(sheet, path, window)
    where = instants.zone(sheet, (*path, "zone"), window.zone or zone)
    days = _days(sheet, (*path, "days"), window.days)
    hours = tuple(_hours(sheet, (*path, "hours"), each) for each in window.hours)
    if not hours:
        sheet.fault((*path, "hours"), 'no hours; write hours = ["09:00-12:00"], or leave it out')
    if factor_ppm is None or where is None or days is None or len(sheet.faults) > before:
        return None
    return Window(
        factor_ppm=factor_ppm,
        zone=where,
        days=days[0],
        holidays=days[1],
        made_up=days[2],
        hours=hours,
        by=window.by,
    )


def _factor(sheet: Sheet, path: Path, window: _Window) -> int | None:
    if (window.factor is None) == (window.discount is None):
        sheet.fault(path, 'write either factor = "2" or discount = "50%"')
        return None
    if window.factor is not None:
        return percents.factor(sheet, (*path, "factor"), window.factor)
    discount_ppm = percents.discount(sheet, (*path, "discount"), window.discount)
    return None if discount_ppm is None else money.PER_MILLION - discount_ppm


def _days(
    sheet: Sheet, path: Path, written: object
) -> tuple[tuple[int, ...], str | None, bool] | None:
    """The days of the week, whose holidays are none of them, and whether days made up for are."""
    if written is None:
        return tuple(range(len(DAYS))), None, False
    if isinstance(written, str):
        match = _NAMED.fullmatch(written)
        if match is not None:
            return _WORKING, match.group(2), match.group(1) == "workdays"
    elif isinstance(written, list) and written:
        names = cast("list[object]", written)
        if all(name in DAYS for name in names):
            return tuple(place for place, name in enumerate(DAYS) if name in names), None, False
    sheet.fault(path, f"no days that are known here; {_DAYS_HINT}")
    return None


def _hours(sheet: Sheet, path: Path, written: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(written)
    if match is None:
        sheet.fault(path, f'"{written}" are no hours; write "09:00-12:00" or "22:00-06:00"')
        return 0, 0
    first, last = (
        int(match.group(place)) * _MINUTES + int(match.group(place + 1)) for place in (1, 3)
    )
    if last > _DAY_MINUTES:
        sheet.fault(path, f'"{written}": a day ends at 24:00')
    if first == last:
        sheet.fault(path, f'"{written}" is no time at all; a whole day is "00:00-24:00"')
    return first, last
