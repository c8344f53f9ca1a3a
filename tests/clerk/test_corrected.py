"""Corrections lead to the books that would be there, had it been right at first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue.documents import Edition
from steelyard.clerk.difference import DifferenceError
from steelyard.rating.corrections import Amend, Change, Rerate, Rescale, Reverse, Scope
from steelyard.store import tables
from steelyard.store.engines import writing
from steelyard.values.usage import UsageRecord
from tests.clerk.desk import DOCUMENTS, FREE, Desk, altered, calls, journal
from tests.clerk.ordering import audited, carry_out, lines, order, standing
from tests.rating.documents import flat


def dearer(documents: Edition) -> Edition:
    """The same documents with another price, another grant and other tiers."""
    acme, bee = documents.contracts
    rule, free = acme.prices
    (tiers,) = bee.prices
    assert tiers.tariff is not None
    steps = [altered(tier, up_to=tier.up_to and 2 * tier.up_to) for tier in tiers.tariff.tiers]
    return altered(
        documents,
        contracts=(
            altered(
                acme,
                prices=(
                    altered(rule, tariff=flat(input_tokens="2.6", output_tokens="10")),
                    free,
                ),
            ),
            altered(
                bee,
                prices=(altered(tiers, tariff=altered(tiers.tariff, tiers=tuple(steps))),),
                grants=(altered(FREE, size=20_000),),
            ),
        ),
    )


RIGHT = dearer(DOCUMENTS)


def right_at_first(root: Path, records: Sequence[UsageRecord], bound: int) -> Desk:
    """What had been booked, had the right documents been there."""
    journal(root, "live-1", [altered(each, edition=2) for each in records])
    desk = Desk(root)
    desk.record(RIGHT)
    desk.book(bound)
    return desk


@settings(max_examples=12, deadline=None)
@given(
    count=st.integers(1, 60),
    bound=st.sampled_from([7, 20, 1000]),
    model=st.sampled_from(["m", "*"]),
)
def test_rerating_gives_what_the_right_documents_would_have(tmp_path_factory, count, bound, model):
    root = tmp_path_factory.mktemp("desk")
    scope = Scope(model=model)
    with Desk(root / "a") as desk:
        desk.record(RIGHT)
        journal(root / "a", "live-1", calls(count))
        desk.book(bound)
        carry_out(desk, order(Rerate(2), scope, edition=2))
        records = [
            altered(each, edition=2 if model in {"*", each.model} else 1) for each in calls(count)
        ]
        with Desk(root / "b") as other:
            other.record(RIGHT)
            journal(root / "b", "live-1", records)
            other.book(bound)
            assert standing(desk) == standing(other)
            assert money(desk) == money(other)
            assert counters(desk) == counters(other)
        assert audited(desk).unbooked == 0


def money(desk: Desk) -> dict:
    return desk.sum().nets


def counters(desk: Desk) -> dict:
    return {tuple(row[:-1]): row[-1] for row in desk.rows(tables.counters) if row[-1]}


@settings(max_examples=12, deadline=None)
@given(data=st.data(), count=st.integers(1, 40), bound=st.sampled_from([5, 1000]))
def test_whatever_is_corrected_the_books_are_what_they_would_have_been(
    tmp_path_factory, data, count, bound
):
    """Reversed, amended and rescaled calls, in runs one after the other."""
    root = tmp_path_factory.mktemp("desk")
    records = calls(count)
    place = st.integers(0, count - 1)
    changes = data.draw(st.lists(st.tuples(place, st.sampled_from(CHANGES)), max_size=4))
    with Desk(root / "a") as desk:
        desk.record(RIGHT)
        journal(root / "a", "live-1", records)
        desk.book(bound)
        for number, (chosen, change) in enumerate(changes):
            scope = Scope(calls=(records[chosen].call_id.hex(),))
            carry_out(desk, order(change, scope, edition=2, name=str(number)))
        right = list(records)
        for chosen, change in changes:
            right[chosen] = by_hand(right[chosen], change)
        with Desk(root / "b") as other:
            other.record(RIGHT)
            journal(root / "b", "live-1", right)
            other.book(bound)
            assert standing(desk) == standing(other)
            assert money(desk) == money(other)
            assert counters(desk) == counters(other)
        audited(desk)


CHANGES: list[Change] = [
    Reverse(),
    Reverse(keep_costs=True),
    Rerate(2),
    Amend({"input_tokens": 77}),
    Amend({"output_tokens": 0}, {"output_tokens": 5}),
    Rescale({"output_tokens": (1, 2), "input_tokens": (3, 1)}),
]


def by_hand(record: UsageRecord, change: Change) -> UsageRecord:
    made = record.meters if record.produced is None else record.produced
    if change == Reverse():
        return altered(record, meters={}, produced={})
    if change == Reverse(keep_costs=True):
        return altered(record, meters={}, produced=made)
    if change == Rerate(2):
        return altered(record, edition=2)
    if change == Amend({"input_tokens": 77}):
        return altered(record, meters={**record.meters, "input_tokens": 77})
    if change == Amend({"output_tokens": 0}, {"output_tokens": 5}):
        return altered(
            record,
            meters={**record.meters, "output_tokens": 0},
            produced={**made, "output_tokens": 5},
        )
    return altered(
        record,
        meters=scaled_by_hand(record.meters),
        produced=record.produced and scaled_by_hand(record.produced),
    )


def scaled_by_hand(meters: dict[str, int]) -> dict[str, int]:
    halved = dict(meters)
    if "output_tokens" in halved:
        whole, odd = divmod(halved["output_tokens"], 2)
        halved["output_tokens"] = whole + (odd and whole % 2)
    if "input_tokens" in halved:
        halved["input_tokens"] *= 3
    return halved


def test_under_unchanged_documents_nothing_changes(tmp_path):
    journal(tmp_path, "live-1", calls(50))
    with Desk(tmp_path) as desk:
        desk.book(20)
        before = desk.sum()
        carry_out(desk, order(Rerate(1)))
        assert desk.sum() == before
        (correction,) = [row for row in desk.rows(tables.batches) if row.kind == "correction"]
        assert (correction.lines, correction.calls) == (0, 0)


def test_a_run_that_is_ordered_twice_changes_nothing_more(tmp_path):
    journal(tmp_path, "live-1", calls(50))
    with Desk(tmp_path) as desk:
        desk.record(RIGHT)
        desk.book(20)
        carry_out(desk, order(Rerate(2), edition=2))
        once = desk.sum()
        carry_out(desk, order(Rerate(2), edition=2))
        assert desk.sum() == once, "the same fact, read twice"
        carry_out(desk, order(Rerate(2), edition=2, name="again"))
        assert desk.sum() == once, "another order of the same"
        audited(desk)


def test_a_line_names_what_it_corrects(tmp_path):
    (record,) = calls(1)
    record = altered(record, customer="acme", contract="acme-2026", model="m")
    record = altered(record, meters={"input_tokens": 100})
    journal(tmp_path, "live-1", [record])
    with Desk(tmp_path) as desk:
        desk.record(RIGHT)
        desk.book()
        carry_out(desk, order(Rerate(2), edition=2))
        found = [
            (row["corrects"], row["call_id"], row["units"], row["price_pico"], row["calls"])
            for row in lines(desk, 3)
        ]
        assert found == [
            (1, record.call_id, -100, 2_500_000, -1),
            (1, record.call_id, 100, 2_600_000, 1),
        ]


def test_what_the_new_documents_do_not_price_stays_as_it_is(tmp_path):
    records = calls(20)
    journal(tmp_path, "live-1", records)
    with Desk(tmp_path) as desk:
        acme, bee = DOCUMENTS.contracts
        desk.record(altered(DOCUMENTS, contracts=(bee,)))
        desk.book()
        before = desk.sum()
        carry_out(desk, order(Rerate(2), Scope(contract="acme-*"), edition=2))
        assert desk.sum() == before
        aside = {row.call_id for row in desk.rows(tables.set_aside)}
        assert aside == {each.call_id for each in records if each.contract == acme.id}
        audited(desk)


def test_calls_without_a_price_get_one_when_there_is_one(tmp_path):
    records = [
        altered(each, contract="acme-2026", customer="acme", model="new") for each in calls(20)
    ]
    journal(tmp_path, "live-1", records)
    with Desk(tmp_path) as desk:
        desk.book()
        assert len(desk.rows(tables.set_aside)) == 20
        assert desk.sum().size == 0
        acme, bee = DOCUMENTS.contracts
        more = altered(acme, prices=(altered(acme.prices[0], model="new"), *acme.prices))
        desk.record(altered(DOCUMENTS, contracts=(more, bee)))
        carry_out(desk, order(Rerate(2), edition=2))
        assert {key[0] for key in standing(desk)} == {each.call_id for each in records}
        assert len(desk.rows(tables.set_aside)) == 20
        audited(desk)


def test_an_order_for_a_call_that_is_not_there_does_nothing(tmp_path):
    journal(tmp_path, "live-1", calls(3))
    with Desk(tmp_path) as desk:
        desk.book()
        before = desk.sum()
        carry_out(desk, order(Reverse(), Scope(calls=("00" * 16,))))
        assert desk.sum() == before
        audited(desk)


def test_calls_that_come_after_a_correction_are_not_of_it(tmp_path):
    journal(tmp_path, "live-1", calls(10))
    with Desk(tmp_path) as desk:
        desk.book()
        carry_out(desk, order(Reverse(), Scope(contract="acme-2026")))
        journal(tmp_path, "live-2", calls(10, seed=1))
        desk.book()
        charged = {key[0] for key in standing(desk) if key[2] == "acme-2026"}
        assert charged == {each.call_id for each in calls(10, seed=1) if each.customer == "acme"}
        audited(desk)


@pytest.mark.parametrize(
    "where", ["steelyard.clerk.corrected.draw", "steelyard.clerk.run.book_correction"]
)
def test_the_orders_of_a_clerk_that_was_killed_are_carried_out(tmp_path, monkeypatch, where):
    journal(tmp_path, "live-1", calls(30))
    with Desk(tmp_path / "b") as other:
        journal(tmp_path / "b", "live-1", calls(30))
        other.book()
        carry_out(other, order(Reverse(), Scope(contract="acme-2026")))
        wanted = other.sum()
    with Desk(tmp_path) as desk:
        desk.book()

        class KilledError(Exception):
            pass

        def die(*_):
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(where, die)
            with pytest.raises(KilledError):
                carry_out(desk, order(Reverse(), Scope(contract="acme-2026")))
        desk.book()
        assert desk.sum() == wanted
        audited(desk)


def test_what_was_altered_in_a_correction_is_found(tmp_path):
    journal(tmp_path, "live-1", calls(30))
    with Desk(tmp_path) as desk:
        desk.book()
        carry_out(desk, order(Reverse(), Scope(contract="acme-2026")))
        with writing(desk.engine) as connection:
            connection.exec_driver_sql(
                """UPDATE batches SET made_from = '{"facts":[]}' WHERE kind = 'correction'"""
            )
        with pytest.raises(DifferenceError, match="lines/00000003"):
            audited(desk)
