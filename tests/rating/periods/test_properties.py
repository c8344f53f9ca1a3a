"""Whatever happens, in whatever order it is told: what holds of what is charged by the period."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue import contracts
from steelyard.catalogue.documents import Contract, Edition
from steelyard.catalogue.items.kinds import Bundle, Part, Project
from steelyard.catalogue.sheets import Sheet
from steelyard.rating.lines import Line, LineSum
from steelyard.rating.periods import bundles, fitting
from steelyard.rating.periods.charging import Known, charge, news
from steelyard.rating.periods.told import Charged, Due
from steelyard.values import money, periods
from steelyard.values.events import Event, order

TABLE = Path(__file__).parents[2] / "tables" / "periods.toml"
WRITTEN: dict[str, str] = tomllib.loads(TABLE.read_text("utf-8"))["contracts"]
ZONE = "Asia/Shanghai"
FIRST, LAST = periods.month("2026-11"), periods.month("2027-02")
MONTHS = [periods.month(each) for each in ("2026-11", "2026-12", "2027-01", "2027-02")]
START_US = periods.to_us(datetime.fromisoformat("2026-11-01T00:00:00+08:00"))
HOUR_US = 3_600_000_000


def contract(name: str) -> Contract:
    head = (
        f'id = "c"\ncustomer = "acme"\ncurrency = "CNY"\nzone = "{ZONE}"\nvalid_from = 2020-01-01\n'
    )
    read = contracts.read(Sheet("c.toml", head + WRITTEN[name]), "UTC")
    assert read is not None
    return read.value


CONTRACTS = {name: contract(name) for name, text in WRITTEN.items() if "valid_from" not in text}


@st.composite
def stories(draw: st.DrawFn) -> tuple[Contract, list[Event]]:
    """A contract and up to twelve things that can happen to it within four months."""
    found = CONTRACTS[draw(st.sampled_from(sorted(CONTRACTS)))]
    told: list[Event] = []
    able = [(item, fitting.verbs(item)) for item in found.items if fitting.verbs(item)]
    for place in range(draw(st.integers(0, 12)) if able else 0):
        item, verbs = draw(st.sampled_from(able))
        what = draw(st.sampled_from(sorted(verbs)))
        names = ["", "a", "b"]
        if isinstance(item, Project):
            names = [*names, *(each.id for each in item.milestones)]
        names += [plan.id for plan in getattr(item, "plans", ())]
        units = {name: draw(st.integers(0, 500)) for name in verbs[what] if draw(st.booleans())}
        told.append(
            Event(
                id=f"E{place}",
                at_us=START_US + draw(st.integers(0, 120 * 24)) * HOUR_US,
                contract="c",
                about=item.id,
                what=what,
                name=draw(st.sampled_from(names)),
                units=units,
            )
        )
    return found, told


def edition(found: Contract) -> Edition:
    return Edition(
        operator="house",
        zone="UTC",
        customers=(),
        earners=(),
        models=(),
        deployments=(),
        books=(),
        contracts=(found,),
        shares=(),
    )


def calls(of: str, month: periods.Month, from_us: int, until_us: int) -> list[LineSum]:
    """A call at noon of each tenth day, for 123.456789 each."""
    start_us, _ = periods.bounds_us(month, ZONE)
    noons = [start_us + (day * 24 + 12) * HOUR_US for day in (9, 19)]
    price_pico = money.amount("123.456789")
    return [
        LineSum(
            period=str(month),
            side="charge",
            customer="acme",
            contract=of,
            model="qwen3-max",
            component="",
            party="acme",
            meter="requests",
            price_pico=price_pico,
            currency="CNY",
            version="",
            units=1,
            amount_pico=price_pico,
            calls=1,
        )
        for noon_us in noons
        if from_us <= noon_us < until_us
    ]


def charged(
    found: Contract, told: list[Event], months: list[periods.Month], before: list[Line]
) -> list[Line]:
    lines: list[Line] = []
    for month in months:
        known = Known(sorted(told, key=order), calls, [*before, *lines])
        lines += charge(edition(found), "c", known, month)
    return lines


def net(lines: list[Line]) -> Counter[tuple[object, ...]]:
    """What stands, whatever the month into which it was booked."""
    found: Counter[tuple[object, ...]] = Counter()
    for line in lines:
        key = (line.call_id, line.model, line.side, line.component, line.party, line.meter)
        found[(*key, line.price_pico, line.version)] += line.units
    return Counter({key: units for key, units in found.items() if units})


def month_of(line: Line) -> periods.Month:
    return periods.month_of(line.at_us, ZONE)


@given(stories())
@settings(max_examples=150, deadline=None)
def test_lines_are_exact_and_deposits_never_below_zero(story):
    found, told = story
    lines = charged(found, told, MONTHS, [])
    assert all(line.units * line.price_pico == line.amount_pico for line in lines)
    left: defaultdict[tuple[str, str], int] = defaultdict(int)
    for line in sorted(lines, key=lambda each: (each.at_us, -each.amount_pico)):
        if line.side == "deposit":
            assert line.amount_pico % money.coin_pico("CNY") == 0
            if line.component != "retention":
                left[line.model, line.component] += line.amount_pico
                assert left[line.model, line.component] >= 0


@given(stories(), st.lists(st.integers(0, 3), min_size=12, max_size=12))
@settings(max_examples=150, deadline=None)
def test_late_events_lead_to_what_events_in_time_lead_to(story, arrivals):
    """Told in time or up to three months late: after the last month the same stands."""
    found, told = story
    booked: list[Line] = []
    for place, month in enumerate(MONTHS):
        arrived = [each for each, at in zip(told, arrivals, strict=False) if at <= place]
        wanted = charged(found, arrived, MONTHS[: place + 1], [])
        booked += news(wanted, booked, ZONE, month)
    right = charged(found, told, MONTHS, [])
    assert net(booked) == net(right)
    assert all(periods.month(line.period) >= month_of(line) for line in booked)


@given(stories())
@settings(max_examples=50, deadline=None)
def test_a_window_of_months_gives_what_all_months_give(story):
    """What was booked before is enough to go on from: nobody needs to begin at the beginning."""
    found, told = story
    whole = charged(found, told, MONTHS, [])
    before = [line for line in whole if month_of(line) < MONTHS[2]]
    later = [line for line in whole if month_of(line) >= MONTHS[2]]
    assert charged(found, told, MONTHS[2:], before) == later


shares = st.lists(st.integers(0, 1000), min_size=1, max_size=5)


@given(
    st.integers(-(10**15), 10**15),
    shares,
    st.sampled_from(["fixed", "list", "use"]),
    st.integers(0, 1_000_000),
    st.booleans(),
)
def test_parts_of_a_bundle_and_its_rest_are_the_whole(amount_pico, weights, by, divide, named):
    parts = tuple(
        Part(earner=f"e{place}", component="model", weight=weight, models=(f"m{place}",))
        for place, weight in enumerate(weights)
    )
    bundle = Bundle(
        id="b",
        title="b",
        of=("x",),
        by=by,
        parts=parts,
        rest="named" if named else None,
        divide_ppm=divide,
        meter="requests",
    )
    used = [Charged(f"m{place}", "requests", weight, 0) for place, weight in enumerate(weights)]
    due = Due(0, "", "fees", 1 if amount_pico >= 0 else -1, abs(amount_pico))
    found = list(bundles.divided(bundle, due, used))
    total_pico = sum(each.amount_pico for each in found)
    assert all(each.side == "cost" for each in found)
    if named:
        assert total_pico == amount_pico
    else:
        assert abs(total_pico) <= abs(amount_pico)


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_what_can_happen_to_each_item_is_said(name):
    for item in CONTRACTS[name].items:
        for what, counted in fitting.verbs(item).items():
            event = Event(
                id="E",
                at_us=START_US,
                contract="c",
                about=item.id,
                what=what,
                name="more" if isinstance(item, Project) else "",
                units=dict.fromkeys(counted, 1),
            )
            assert fitting.unfit([CONTRACTS[name]], event) is None
