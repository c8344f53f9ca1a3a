"""The same books from the same journal, whichever database keeps them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from steelyard.clerk import closing
from steelyard.clerk.audit import audit
from steelyard.clerk.books import BookedFact, BooksMovedError
from steelyard.clerk.closing import Closing
from steelyard.ledger.balances import LedgerError
from steelyard.rating.lines import UNITS_LIMIT
from steelyard.store import tables
from steelyard.store.archive import open_archive
from steelyard.store.closings import Closings
from steelyard.store.engines import writing
from steelyard.store.lines import LinesError, line_sums
from steelyard.values import periods
from steelyard.values.facts import Fact
from steelyard.values.ids import content_id
from tests.clerk.desk import DOCUMENTS, Desk, altered, calls, journal, told, undisturbed, us

DECEMBER_US = us("2026-12-02T00:00:00+08:00")


@pytest.fixture
def desk(url, tmp_path):
    with Desk(tmp_path / "desk", url) as opened:
        yield opened


def test_records_are_booked_once(desk, tmp_path):
    journal(desk.root, "live-1", calls(300), calls(300, seed=1))
    assert desk.book(100).calls == 600
    first, *rest = calls(300)
    journal(desk.root, "live-2", [altered(first, meters={}), *rest])
    again = desk.book(100)
    assert (again.calls, again.duplicates, again.conflicts) == (0, 299, 1)
    assert desk.sum() == undisturbed(tmp_path / "b", [calls(300), calls(300, seed=1)])


def test_a_fact_is_booked_once_with_or_without_calls(desk):
    first, second = (
        Fact(content_id(DECEMBER_US, name), DECEMBER_US, "said", '{"of": "a"}', "somebody")
        for name in (b"first", b"second")
    )
    told(desk.root, "told-1", first, first)
    assert desk.book().calls == 0
    journal(desk.root, "live-1", calls(3))
    told(desk.root, "told-2", second, first)
    desk.book()
    assert desk.books.facts() == [BookedFact(1, first), BookedFact(2, second)]
    with open_archive(desk.engine, desk.lines) as archive:
        assert audit(archive, desk.journal, desk.root, lambda _: None).facts == 2


def test_digests_are_those_of_the_booked_calls(desk):
    journal(desk.root, "live-1", calls(3000))
    desk.book()
    ids = [each.call_id for each in calls(3000)]
    unknown = [each.call_id for each in calls(5, seed=1)]
    assert desk.books.digests(unknown[:1]) == {}
    assert desk.books.digests([]) == {}
    assert desk.books.digests([*ids, *unknown]).keys() == set(ids)


def test_documents_are_recorded_when_they_change(desk):
    numbers = [
        desk.record(DOCUMENTS),
        desk.record(OTHER),
        desk.record(OTHER),
        desk.record(DOCUMENTS),
    ]
    assert numbers == [1, 2, 2, 3]
    found = desk.books.editions([1, 2, 3, 4])
    assert {number: edition for number, (_, edition) in found.items()} == {
        1: DOCUMENTS,
        2: OTHER,
        3: DOCUMENTS,
    }
    assert found[1][0] == found[3][0] != found[2][0]


OTHER = altered(DOCUMENTS, zone="UTC")


def close(desk: Desk, month: str, now_us: int = DECEMBER_US) -> Closing:
    books = Closings(desk.engine, desk.lines)
    closed = closing.close(books, 1, DOCUMENTS, periods.month(month), now_us)
    assert isinstance(closed, Closing)
    return closed


def test_a_closing_comes_back_as_it_was_recorded(desk):
    journal(desk.root, "live-1", calls(100))
    desk.book()
    books = Closings(desk.engine, desk.lines)
    assert books.open_periods() == ["2026-10", "2026-11"]
    assert books.closing("2026-10") is None
    closed = close(desk, "2026-10")
    assert close(desk, "2026-10", DECEMBER_US + 1) == closed
    assert books.closing("2026-10") == closed
    assert books.open_periods() == ["2026-11"]
    with open_archive(desk.engine, desk.lines) as archive:
        (booked,) = archive.closings()
        assert booked.closing == closed


def test_calls_of_a_closed_period_go_into_the_next(desk):
    journal(desk.root, "live-1", calls(100))
    desk.book()
    close(desk, "2026-10")
    before = [each for each in line_sums_of(desk) if each.period == "2026-10"]
    journal(desk.root, "live-2", calls(50, seed=1))
    desk.book()
    assert desk.books.head().first_open == "2026-11"
    assert [each for each in line_sums_of(desk) if each.period == "2026-10"] == before
    assert sum(each.calls for each in line_sums_of(desk, "2026-11")) > 100
    close(desk, "2026-11")


def line_sums_of(desk: Desk, period: str | None = None):
    return Closings(desk.engine, desk.lines).line_sums(period)


def test_a_closing_that_the_books_left_behind_is_not_recorded(desk):
    journal(desk.root, "live-1", calls(100))
    desk.book()
    books = Closings(desk.engine, desk.lines)
    sums, position = books.line_sums("2026-10"), books.next_position()
    drawn = closing.draw_up(sums, 1, DOCUMENTS, periods.month("2026-10"), DECEMBER_US, position)
    journal(desk.root, "live-2", calls(1, seed=1))
    desk.book()
    with pytest.raises(BooksMovedError):
        books.record_closing(drawn)
    assert books.closing("2026-10") is None


def test_a_closing_that_leaves_something_is_not_recorded(desk):
    journal(desk.root, "live-1", calls(100))
    desk.book()
    books = Closings(desk.engine, desk.lines)
    sums, position = books.line_sums("2026-10"), books.next_position()
    drawn = closing.draw_up(sums, 1, DOCUMENTS, periods.month("2026-10"), DECEMBER_US, position)
    with pytest.raises(LedgerError, match=r"closing 2026-10 leaves \S+ at -?\d+ pico-units"):
        books.record_closing(altered(drawn, transfers=drawn.transfers[:-1]))
    assert books.closing("2026-10") is None
    assert books.next_position() == position


def test_sums_are_exact_beyond_64_bits(desk):
    huge = [altered(each, meters={"input_tokens": UNITS_LIMIT}) for each in calls(40)]
    journal(desk.root, "live-1", huge)
    desk.book()
    with open_archive(desk.engine, desk.lines) as archive:
        owed = sum(
            b.debit_pico for (name, *_), b in archive.balances().items() if "unbilled" in name
        )
    sums = [each for each in line_sums_of(desk) if each.side == "charge"]
    assert sum(each.amount_pico for each in sums) == owed
    assert max(each.amount_pico for each in sums) > 2**64
    assert sum(each.units for each in sums) == 40 * UNITS_LIMIT
    assert all(each.units * each.price_pico == each.amount_pico for each in sums)


def test_a_line_file_that_is_gone_is_named(desk):
    with pytest.raises(LinesError, match="00000001"):
        line_sums([desk.lines / "00000001.parquet"])
    assert line_sums([]) == []


def test_the_books_are_whole(desk):
    journal(desk.root, "live-1", calls(300))
    desk.book(100)
    with open_archive(desk.engine, desk.lines) as archive:
        proof = audit(archive, desk.journal, desk.root, lambda _: None)
    assert (proof.calls, proof.unbooked) == (300, 0)


def test_what_breaks_a_rule_books_nothing(desk, monkeypatch):
    journal(desk.root, "live-1", calls(10))

    def refuse(*_):
        raise LedgerError

    monkeypatch.setattr("steelyard.ledger.balances.apply", refuse)
    with pytest.raises(LedgerError):
        desk.book()
    for table in tables.METADATA.sorted_tables:
        if table not in {tables.schema_version, tables.editions}:
            assert desk.rows(table) == []


def test_an_account_is_debited_and_credited(desk):
    row = {
        "batch": 1, "sequence": 1, "debit": "a", "credit": "a", "amount_pico": 1,
        "currency": "CNY", "code": "charge", "period": "2026-11", "state": "posted",
    }  # fmt: skip
    with pytest.raises(IntegrityError), writing(desk.engine) as connection:
        connection.execute(sa.insert(tables.transfers).values(row))
