"""Late records: which month they are booked in, and that nothing is lost or counted twice."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.clerk import closing, publishing
from steelyard.clerk.closing import Closing
from steelyard.store.closings import Closings
from steelyard.values import periods
from steelyard.values.usage import UsageRecord
from tests.clerk.desk import DOCUMENTS, Desk, altered, calls, journal, us
from tests.clerk.ordering import audited, standing

NOVEMBER_US = us("2026-11-01T00:00:00+08:00")
THREE_DAYS_US = 3 * 86_400 * 10**6


def close(desk: Desk, month: str, now_us: int) -> Closing:
    made = closing.close(
        Closings(desk.engine, desk.lines), 1, DOCUMENTS, periods.month(month), now_us
    )
    assert isinstance(made, Closing)
    publishing.publish(made.documents, desk.root)
    return made


def of_acme(count: int, seed: int = 0) -> list[UsageRecord]:
    """Calls around the month's end under a contract whose prices depend on no other call."""
    return [altered(each, customer="acme", contract="acme-2026") for each in calls(count, seed)]


def invoiced(closings: Sequence[Closing]) -> dict[tuple[str, str, str], int]:
    """What all documents come to, exactly, by kind, party and currency."""
    sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for closed in closings:
        for each in closed.documents:
            rounding = each.kind == "statement" and each.party == DOCUMENTS.operator
            if not rounding:
                sums[each.kind, each.party, each.currency] += each.exact_pico
    return dict(sums)


def clean(root: Path, records: Sequence[UsageRecord]) -> tuple[dict, dict]:
    journal(root, "live-1", records)
    with Desk(root) as desk:
        desk.book()
        made = [
            close(desk, "2026-10", NOVEMBER_US + THREE_DAYS_US),
            close(desk, "2026-11", NOVEMBER_US + 31 * 86_400 * 10**6),
        ]
        return standing(desk), invoiced(made)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), bound=st.sampled_from([7, 40, 1000]))
def test_four_times_and_three_days_late_come_to_the_same(tmp_path_factory, seed, bound):
    root = tmp_path_factory.mktemp("late")
    chance = random.Random(seed)
    records = of_acme(120, seed)
    october = [each for each in records if each.at_us < NOVEMBER_US]
    assert october
    assert len(october) < len(records)
    late = chance.sample(october, max(1, len(october) // 10))
    timely = [each for each in records if each not in late]
    messy = timely * 4
    chance.shuffle(messy)
    half = len(messy) // 2
    journal(root / "a", "live-1", messy[:half], blocks=False)
    with Desk(root / "a") as desk:
        desk.book(bound)
        journal(root / "a", "live-2", messy[half:])
        desk.book(bound)
        made = [close(desk, "2026-10", NOVEMBER_US + THREE_DAYS_US)]
        journal(root / "a", "live-3", late * 4, blocks=False)
        outcome = desk.book(bound)
        assert (outcome.calls, outcome.duplicates) == (len(late), 3 * len(late))
        made.append(close(desk, "2026-11", NOVEMBER_US + 31 * 86_400 * 10**6))
        found = standing(desk), invoiced(made)
        assert audited(desk).unbooked == 0
    assert found == clean(root / "b", records)


def test_a_late_call_has_the_price_of_its_own_time(tmp_path):
    """In the first open month, at the documents and the instant that its record names."""
    (late,) = of_acme(1)
    late = altered(late, model="m", at_us=NOVEMBER_US - 1, meters={"input_tokens": 10**6})
    dearer = altered(DOCUMENTS, zone="UTC")
    journal(tmp_path, "live-1", of_acme(20, seed=1))
    with Desk(tmp_path) as desk:
        desk.book()
        desk.record(dearer)
        close(desk, "2026-10", NOVEMBER_US + THREE_DAYS_US)
        journal(tmp_path, "live-2", [late])
        desk.book()
        found = [
            (each.period, each.price_pico)
            for each in Closings(desk.engine, desk.lines).line_sums()
            if each.units >= 10**6 and each.side == "charge"
        ]
        assert ("2026-11", 2_500_000) in found


ORDERS = [
    # which call is read first, what each of them is charged: the first 30,000 tokens are free
    ("small first", (0, 1), [0, 20_000]),
    ("large first", (1, 0), [20_000, 0]),
]


@pytest.mark.parametrize(("what", "places", "charged"), ORDERS, ids=[row[0] for row in ORDERS])
def test_where_calls_depend_on_each_other_the_order_of_booking_holds(
    tmp_path, what, places, charged
):
    del what
    two = [
        altered(each, customer="bee", contract="bee-2026", model="m", meters={"input_tokens": n})
        for each, n in zip(calls(2), (20_000, 30_000), strict=True)
    ]
    journal(tmp_path, "live-1", [two[place] for place in places])
    with Desk(tmp_path) as desk:
        desk.book()
        paid: defaultdict[bytes, int] = defaultdict(int)
        for key, units in standing(desk).items():
            if key[4] == "charge" and key[8]:
                paid[key[0]] += units
        assert [paid[each.call_id] for each in two] == charged
