from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.clerk import parquet
from steelyard.clerk.books import BooksMovedError
from steelyard.store import tables
from steelyard.store.books import Books
from tests.clerk.desk import Desk, altered, calls, journal, undisturbed


def test_an_empty_journal_is_booked_at_once(tmp_path):
    with Desk(tmp_path) as desk:
        assert desk.book().batches == 0
        assert desk.rows(tables.batches) == []


@pytest.mark.parametrize("calls_max", [1, 7, 100, 1000])
def test_the_batches_size_does_not_matter(tmp_path, calls_max):
    journal(tmp_path / "a", "live-1", calls(120), blocks=False)
    journal(tmp_path / "a", "live-2", calls(30, seed=1))
    with Desk(tmp_path / "a") as desk:
        outcome = desk.book(calls_max)
        assert outcome.calls == 150
        assert desk.sum() == undisturbed(tmp_path / "b", [calls(120), calls(30, seed=1)])


@settings(max_examples=15, deadline=None)
@given(
    parts=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    bounds=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    blocks=st.booleans(),
)
def test_replay_is_incremental(tmp_path_factory, parts, bounds, blocks):
    root = tmp_path_factory.mktemp("desk")
    records = [calls(count, seed=place) for place, count in enumerate(parts)]
    with Desk(root / "a") as desk:
        for place, part in enumerate(records):
            journal(root / "a", f"live-{place}", part, blocks=blocks)
            desk.book(bounds[place % len(bounds)])
        assert desk.sum() == undisturbed(root / "b", records)


@pytest.mark.parametrize("calls_max", [5, 1000])
def test_a_record_that_is_read_four_times_is_booked_once(tmp_path, calls_max):
    once, again = calls(40), list(reversed(calls(40)))
    journal(tmp_path / "a", "live-1", once, again, blocks=False)
    with Desk(tmp_path / "a") as desk:
        desk.book(calls_max)
        journal(tmp_path / "a", "live-2", again, once)
        outcome = desk.book(calls_max)
        assert (outcome.calls, outcome.duplicates, outcome.conflicts) == (0, 80, 0)
        assert desk.sum() == undisturbed(tmp_path / "b", [once])


def test_newer_documents_do_not_make_a_record_another(tmp_path):
    journal(tmp_path, "import-1", calls(3))
    journal(tmp_path, "import-2", [altered(each, edition=2) for each in calls(3)])
    with Desk(tmp_path) as desk:
        outcome = desk.book()
    assert (outcome.calls, outcome.duplicates, outcome.conflicts) == (3, 3, 0)


@pytest.mark.parametrize("calls_max", [1, 1000])
def test_a_contradiction_is_kept_for_inspection(tmp_path, calls_max):
    first, *rest = calls(3)
    other = altered(first, meters={"input_tokens": 1})
    journal(tmp_path / "a", "live-1", [first, *rest])
    journal(tmp_path / "a", "live-2", [other, first])
    with Desk(tmp_path / "a") as desk:
        outcome = desk.book(calls_max)
        assert (outcome.calls, outcome.duplicates, outcome.conflicts) == (3, 1, 1)
        (kept,) = desk.rows(tables.set_aside)
        assert (kept.call_id, kept.reason) == (first.call_id, "conflict")
        assert b"input_tokens\x01" in kept.record
        assert desk.sum() == undisturbed(tmp_path / "b", [[first, *rest]])


def test_a_call_without_a_price_is_kept_and_booked_once(tmp_path):
    known, *unknown = calls(4)
    wrong = [
        altered(unknown[0], contract="nobody"),
        altered(unknown[1], edition=9),
        altered(unknown[2], contract="acme-2026", model="unsold"),
    ]
    journal(tmp_path / "a", "live-1", [known, *wrong])
    journal(tmp_path / "a", "live-2", wrong)
    with Desk(tmp_path / "a") as desk:
        outcome = desk.book()
        assert (outcome.calls, outcome.unrated, outcome.duplicates) == (4, 3, 3)
        kept = {row.call_id: row.reason for row in desk.rows(tables.set_aside)}
        assert kept == {
            wrong[0].call_id: "contract",
            wrong[1].call_id: "edition",
            wrong[2].call_id: "model",
        }
        assert desk.sum() == undisturbed(tmp_path / "b", [[known]])


def test_a_damaged_segment_does_not_hold_up_the_others(tmp_path):
    journal(tmp_path / "a", "live-1", calls(20), blocks=False)
    journal(tmp_path / "a", "live-2", calls(5, seed=1), blocks=False)
    segment = tmp_path / "a" / "journal" / "live-1" / "00000001.seg"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 4
    segment.write_bytes(data)
    with Desk(tmp_path / "a") as desk:
        outcome = desk.book(3)
        assert [each.path for each in outcome.damages] == [segment]
        before = calls(20)[: outcome.calls - 5]
        assert 0 < len(before) < 20
        assert desk.sum() == undisturbed(tmp_path / "b", [before, calls(5, seed=1)])
        data[len(data) // 2] ^= 4
        segment.write_bytes(data)
        assert desk.book(3).calls == 20 - len(before)


class KilledError(BaseException):
    pass


STEPS = ["before the lines", "while they are written", "after the lines", "in the transaction"]


def killed(monkeypatch, step):
    """Die at one step of the next batch, as a kill would: nothing is put right on the way out."""

    def die(*_args, **_named):
        raise KilledError

    if step == "before the lines":
        monkeypatch.setattr(parquet, "write", die)
    elif step == "while they are written":
        monkeypatch.setattr(Path, "rename", die)
    elif step == "after the lines":
        monkeypatch.setattr(Books, "book", die)
    else:
        monkeypatch.setattr("steelyard.store.books.book_transfers", die)


@pytest.mark.parametrize("step", STEPS)
def test_a_clerk_that_dies_is_followed_by_one_that_does_the_same(tmp_path, monkeypatch, step):
    journal(tmp_path / "a", "live-1", calls(30), blocks=False)
    with Desk(tmp_path / "a") as desk:
        desk.clerk(10).drain(lambda _: None, lambda: True)
        with monkeypatch.context() as patch:
            killed(patch, step)
            with pytest.raises(KilledError):
                desk.book(10)
        assert len(desk.rows(tables.batches)) == 1
        desk.book(10)
        assert len(desk.rows(tables.batches)) == 3
        assert desk.sum() == undisturbed(tmp_path / "b", [calls(30)])


def test_the_same_lines_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        journal(tmp_path / name, "live-1", calls(200))
        with Desk(tmp_path / name) as desk:
            desk.book()
    files = [tmp_path / name / "lines" / "00000001.parquet" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_moves_on_in_between_is_noticed(tmp_path, monkeypatch):
    journal(tmp_path, "live-1", calls(30), blocks=False)
    with Desk(tmp_path) as desk:
        desk.book(10)
        head = desk.books.head()
        monkeypatch.setattr(Books, "head", lambda _: head)
        journal(tmp_path, "live-2", calls(1, seed=3))
        desk.book(10)
        journal(tmp_path, "live-3", calls(1, seed=4))
        with pytest.raises(BooksMovedError):
            desk.book(10)
