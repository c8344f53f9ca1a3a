"""What is looked at in the books, whichever database keeps them."""

from __future__ import annotations

import pytest

from steelyard.store import leases, shown
from steelyard.store.closings import Closings
from steelyard.store.shown import Counted
from tests.clerk.desk import Desk, calls, journal
from tests.store.test_books import close


@pytest.fixture
def desk(url, tmp_path):
    with Desk(tmp_path / "desk", url) as opened:
        yield opened


def test_calls_are_counted_and_what_is_unbilled_goes_when_it_is_invoiced(desk):
    journal(desk.root, "live-1", calls(300))
    desk.book()
    assert shown.counted(desk.engine) == Counted(300, 0)
    found = shown.unbilled(desk.engine)
    sums = Closings(desk.engine, desk.lines).line_sums()
    for each in found:
        charged = sum(
            line.amount_pico
            for line in sums
            if line.side == "charge"
            and (line.customer, line.period, line.currency)
            == (each.customer, each.period, each.currency)
        )
        assert each.amount_pico == charged > 0
    assert {each.customer for each in found} == {
        each.customer for each in sums if each.side == "charge"
    }


def test_documents_are_listed_with_their_files_and_each_file_comes_back(desk):
    journal(desk.root, "live-1", calls(100))
    desk.book()
    before = {each.period for each in shown.unbilled(desk.engine) if each.amount_pico}
    closed = close(desk, "2026-10")
    listed = shown.listed(desk.engine, period="2026-10")
    assert [each.number for each in listed] == [each.number for each in closed.documents]
    assert shown.listed(desk.engine) == listed
    assert shown.listed(desk.engine, period="2026-11") == []
    for found, made in zip(listed, closed.documents, strict=True):
        assert (found.paid_pico, found.party) == (made.paid_pico, made.party)
        assert list(found.paths) == [file.path for file in made.files]
        for file in made.files:
            assert shown.paper(desk.engine, file.path) == (made.kind, made.party, file.content)
    parties = {each.party for each in listed}
    for party in parties:
        own = shown.listed(desk.engine, party=party)
        assert own == [each for each in listed if each.party == party]
    assert shown.paper(desk.engine, "documents/no") is None
    after = {each.period for each in shown.unbilled(desk.engine) if each.amount_pico}
    assert before - after == {"2026-10"}


def test_a_lease_says_whose_it_is_and_for_how_long(engine):
    leases.take(engine, "clerk", "machine-a 17", 1000.0)
    leases.take(engine, "other", "machine-b 18", -5.0)
    first, second = shown.turns(engine)
    assert (first.name, first.holder, first.token) == ("clerk", "machine-a 17", 1)
    assert 990 <= first.left_s <= 1000
    assert (second.holder, second.left_s) == ("machine-b 18", 0)
