"""When a calendar's price holds: the hour in words, and whether the price is doubled."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from steelyard.catalogue.documents import Holidays, PriceRule, Window
from steelyard.values import money
from tests.rating.documents import call, contract, edition, flat, rate

CHINA = Holidays(
    id="CN",
    name="China",
    years=(2026,),
    off=("2026-10-01", "2026-10-02"),
    worked=("2026-10-10",),
    source="",
    checked="",
)
NINE, TWELVE, FOURTEEN, EIGHTEEN, TEN_PM, SIX, HALF_PAST_TWO, THREE = (
    540, 720, 840, 1080, 1320, 360, 150, 180
)  # fmt: skip


def doubled(zone="Asia/Shanghai", **window):
    rule = PriceRule(
        model="m",
        tariff=flat(input_tokens="3"),
        windows=(Window(factor_ppm=2_000_000, zone=zone, **window),),
    )
    signed = contract(rule, valid_from="2024-01-01T00:00:00+08:00")
    return edition(signed, holidays=(CHINA,))


OFFICE = ((NINE, TWELVE), (FOURTEEN, EIGHTEEN))
EVERY_DAY = doubled(hours=OFFICE)
WEEKDAYS = doubled(hours=OFFICE, days=(0, 1, 2, 3, 4), holidays="CN")
WORKDAYS = doubled(hours=OFFICE, days=(0, 1, 2, 3, 4), holidays="CN", made_up=True)
NIGHT = doubled(hours=((TEN_PM, SIX),))
FRIDAY_NIGHT = doubled(hours=((TEN_PM, SIX),), days=(4,))
BY_END = doubled(hours=OFFICE, by="end")
BERLIN = doubled("Europe/Berlin", hours=((HALF_PAST_TWO, THREE),))
LEAP = doubled(hours=((0, 1440),), days=(3,))

CASES = [
    # what, documents, when the call began, how many seconds it took, doubled
    ("a second before nine", EVERY_DAY, "2026-11-03T08:59:59.999999+08:00", 0, False),
    ("at nine", EVERY_DAY, "2026-11-03T09:00:00+08:00", 0, True),
    ("a second before twelve", EVERY_DAY, "2026-11-03T11:59:59.999999+08:00", 0, True),
    ("at twelve", EVERY_DAY, "2026-11-03T12:00:00+08:00", 0, False),
    ("the second window", EVERY_DAY, "2026-11-03T14:00:00+08:00", 0, True),
    ("nine in London is not nine in Shanghai", EVERY_DAY, "2026-11-03T09:00:00+00:00", 0, True),
    ("noon in London", EVERY_DAY, "2026-11-03T12:00:00+00:00", 0, False),
    ("Sunday counts when no days are named", EVERY_DAY, "2026-11-01T10:00:00+08:00", 0, True),
    ("Sunday is no weekday", WEEKDAYS, "2026-11-01T10:00:00+08:00", 0, False),
    ("Monday is", WEEKDAYS, "2026-11-02T10:00:00+08:00", 0, True),
    ("a Thursday that is a holiday is not", WEEKDAYS, "2026-10-01T10:00:00+08:00", 0, False),
    ("the Thursday after is", WEEKDAYS, "2026-10-08T10:00:00+08:00", 0, True),
    ("a Saturday that is worked is no weekday", WEEKDAYS, "2026-10-10T10:00:00+08:00", 0, False),
    ("but it is a workday", WORKDAYS, "2026-10-10T10:00:00+08:00", 0, True),
    ("a holiday is no workday", WORKDAYS, "2026-10-02T10:00:00+08:00", 0, False),
    ("before midnight", NIGHT, "2026-11-03T23:59:59+08:00", 0, True),
    ("at midnight", NIGHT, "2026-11-04T00:00:00+08:00", 0, True),
    ("a second before six", NIGHT, "2026-11-04T05:59:59+08:00", 0, True),
    ("at six", NIGHT, "2026-11-04T06:00:00+08:00", 0, False),
    ("at noon", NIGHT, "2026-11-04T12:00:00+08:00", 0, False),
    ("Friday night ends on Saturday", FRIDAY_NIGHT, "2026-11-07T05:59:00+08:00", 0, True),
    ("Friday's small hours are Thursday night", FRIDAY_NIGHT, "2026-11-06T05:59:00+08:00", 0,
     False),
    ("a call across twelve, by its start", EVERY_DAY, "2026-11-03T11:59:30+08:00", 60, True),
    ("a call across twelve, by its end", BY_END, "2026-11-03T11:59:30+08:00", 60, False),
    ("a call across nine, by its start", EVERY_DAY, "2026-11-03T08:59:30+08:00", 60, False),
    ("a call across nine, by its end", BY_END, "2026-11-03T08:59:30+08:00", 60, True),
    ("a call whose length is not known ends at once", BY_END, "2026-11-03T11:59:30+08:00", None,
     True),
    ("the day of 25 hours, 02:30 for the first time", BERLIN, "2026-10-25T00:30:00+00:00", 0, True),
    ("the day of 25 hours, 02:30 once more", BERLIN, "2026-10-25T01:30:00+00:00", 0, True),
    ("the day of 25 hours, 03:00", BERLIN, "2026-10-25T02:00:00+00:00", 0, False),
    ("the day of 23 hours has no 02:30", BERLIN, "2026-03-29T00:30:00+00:00", 0, False),
    ("the day of 23 hours, 03:00", BERLIN, "2026-03-29T01:00:00+00:00", 0, False),
    ("the day after it has", BERLIN, "2026-03-30T00:30:00+00:00", 0, True),
    ("a leap day, a Thursday", LEAP, "2024-02-29T23:59:59+08:00", 0, True),
    ("the Friday after", LEAP, "2024-03-01T00:00:00+08:00", 0, False),
]  # fmt: skip


@pytest.mark.parametrize(("what", "documents", "at", "seconds", "twice"), CASES)
def test_a_price_is_doubled_in_its_window(what, documents, at, seconds, twice):
    (line,), _ = rate([call(at, seconds=seconds, input_tokens=1)], {1: documents})
    assert money.exact(line.amount_pico) == ("0.000006" if twice else "0.000003")


def test_discount_and_factor_are_rounded_once():
    # 7 × 0.9 = 6.3 would be 6, × 0.75 = 4.5, 4; at once it is 4.725, 5.
    window = Window(factor_ppm=750_000, zone="UTC")
    tariff = flat(input_tokens="0.000007")
    rule = PriceRule(model="m", tariff=tariff, discount_ppm=100_000, windows=(window,))
    (line,), _ = rate([call(input_tokens=1)], {1: edition(contract(rule))})
    assert line.price_pico == 5


def test_of_several_windows_the_first_that_holds_counts():
    windows = [
        Window(factor_ppm=factor_ppm, zone="Asia/Shanghai", hours=((0, until),))
        for factor_ppm, until in [(2_000_000, 60), (3_000_000, 120)]
    ]
    tariff = flat(input_tokens="1")
    rule = PriceRule(model="m", tariff=tariff, windows=tuple(windows))
    batch = [call(f"2026-11-02T0{hour}:30:00+08:00", input_tokens=1) for hour in range(3)]
    lines, _ = rate(batch, {1: edition(contract(rule))})
    assert [line.price_pico for line in lines] == [2_000_000, 3_000_000, 1_000_000]


HOURS = Path(__file__).parents[1] / "data" / "traces" / "servegen-r1-hours.csv"
PRICES = {"input_tokens": "3", "output_tokens": "6", "reasoning_tokens": "6"}


@pytest.mark.parametrize("minute", ["00:00", "59:59.999999"])
@pytest.mark.parametrize(
    ("hours", "total"), [((), "776.991501"), (((9, 12), (14, 18)), "988.655871")]
)
def test_a_day_of_deepseek_r1_with_its_peak_hours_doubled(minute, hours, total):
    spans = tuple((first * 60, last * 60) for first, last in hours)
    windows = (Window(factor_ppm=2_000_000, zone="Asia/Shanghai", hours=spans),) if spans else ()
    rule = PriceRule(model="m", tariff=flat(**PRICES), windows=windows)
    rows = csv.DictReader(HOURS.read_text("utf-8").splitlines())
    counts: list[tuple[str, Any]] = [
        (row["hour"], {meter: int(row[meter]) for meter in PRICES}) for row in rows
    ]
    batch = [call(f"2026-11-02T{int(hour):02d}:{minute}+08:00", **each) for hour, each in counts]
    lines, _ = rate(batch, {1: edition(contract(rule))})
    assert money.exact(sum(line.amount_pico for line in lines)) == total
