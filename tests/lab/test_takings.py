"""Money per second is priced as the books price it: from their counters on, under each edition."""

from __future__ import annotations

from pathlib import Path

import msgspec

from steelyard.catalogue.documents import Grant, PriceRule
from steelyard.lab.pulse import Sold
from steelyard.lab.takings import Standing, Takings
from steelyard.metering.journal import JournalWriter
from steelyard.rating.counting import Counter
from steelyard.values.clock import FixedClock
from steelyard.values.usage import UsageRecord
from tests.rating.documents import contract, edition, flat, us

BOOKS = Standing(cursors={}, counters={}, first_open=None)
RULE = PriceRule(model="m", tariff=flat(input_tokens="1", output_tokens="2"))
EDITION = edition(contract(RULE))
GIFT = Grant(
    id="gift",
    model="m",
    meters=("input_tokens", "output_tokens"),
    size=100,
    from_us=us("2026-01-01T00:00:00+08:00"),
    since="2026-01-01",
)
GIVEN = edition(contract(RULE, grants=(GIFT,)))


def record(number: int, **changes: object) -> UsageRecord:
    made = UsageRecord(
        call_id=number.to_bytes(16, "big"),
        at_us=FixedClock().wall_us(),
        edition=7,
        customer="acme",
        contract="acme-2026",
        key_id="k",
        model="m",
        deployment="place",
        outcome="completed",
        meters={"input_tokens": 10, "output_tokens": 5},
        sources={},
    )
    return msgspec.structs.replace(made, **changes)


def journal(root: Path) -> JournalWriter:
    return JournalWriter(root, "gateway-1", durability="process", clock=FixedClock())


def test_what_comes_is_priced_once(tmp_path):
    asked: list[set[int]] = []

    def editions(numbers):
        asked.append(set(numbers))
        return dict.fromkeys(numbers, EDITION)

    with journal(tmp_path) as writer:
        writer.record(record(1))
        takings = Takings(tmp_path, BOOKS, editions)
        assert takings.more() == [Sold("acme", "m", "CNY", 20_000_000)]
        assert takings.more() == []
        writer.record(record(2))
        writer.record(record(3, outcome="failed", meters={}))
        assert takings.more() == [Sold("acme", "m", "CNY", 20_000_000)]
    assert asked == [{7}]


def test_what_is_imported_meanwhile_is_not_shown(tmp_path):
    with journal(tmp_path) as writer:
        writer.record(record(1))
        writer.record(record(2, origin="imported"))
        takings = Takings(tmp_path, BOOKS, lambda numbers: dict.fromkeys(numbers, EDITION))
        assert takings.more() == [Sold("acme", "m", "CNY", 20_000_000)]


def test_what_the_books_have_given_away_is_not_given_again(tmp_path):
    given = Counter("acme-2026", "grant gift", "m", "", "")
    with journal(tmp_path) as writer:
        books = BOOKS._replace(counters={given: 85})
        takings = Takings(tmp_path, books, lambda numbers: dict.fromkeys(numbers, GIVEN))
        writer.record(record(1))
        assert sum(each.amount_pico for each in takings.more()) == 0
        writer.record(record(2))
        assert sum(each.amount_pico for each in takings.more()) == 20_000_000
