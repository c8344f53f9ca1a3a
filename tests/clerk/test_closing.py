from __future__ import annotations

from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.clerk import closing
from steelyard.clerk.books import BooksMovedError
from steelyard.clerk.closing import Closing, Refused, draw_up
from steelyard.ledger.balances import apply
from steelyard.ledger.posting import post
from steelyard.rating.lines import LineSum
from steelyard.values import meters, money, periods

NOVEMBER = periods.month("2026-11")
ENDED_US = periods.bounds_us(NOVEMBER, "America/Los_Angeles")[1]
"""Los Angeles is the last of the studio's zones to reach December."""


class MemoryBooks:
    """Books of one batch, kept in memory; ``moved`` batches come in between, one an attempt."""

    def __init__(self, sums: list[LineSum], moved: int = 0) -> None:
        self.sums = sums
        self.moved = moved
        self.batch = 1
        self.closings: dict[str, Closing] = {}

    def line_sums(self, period: str | None = None) -> list[LineSum]:
        return [each for each in self.sums if period in {None, each.period}]

    def open_periods(self) -> list[str]:
        return sorted({each.period for each in self.sums} - set(self.closings))

    def next_position(self) -> tuple[int, int]:
        return self.batch, 100

    def closing(self, period: str) -> Closing | None:
        return self.closings.get(period)

    def record_closing(self, made: Closing) -> None:
        if self.moved:
            self.moved -= 1
            self.batch += 1
        if made.batch != self.batch:
            raise BooksMovedError
        self.closings[made.period] = made


def close(books, november, now_us=ENDED_US, period=NOVEMBER, early=False):
    return closing.close(books, 7, november.edition, period, now_us, early=early)


@pytest.mark.parametrize(
    ("period", "now_us", "early", "code", "says"),
    [
        ("2026-11", ENDED_US, False, None, ""),
        ("2026-11", ENDED_US - 1, False, "period_not_ended", "America/Los_Angeles"),
        ("2026-11", ENDED_US - 1, True, None, ""),
        ("2026-12", ENDED_US, True, "earlier_period_open", "close 2026-11 first"),
        ("2026-10", ENDED_US, False, "period_is_empty", "2026-10"),
    ],
)
def test_a_period_is_closed_when_it_can_be(november, period, now_us, early, code, says):
    made = close(MemoryBooks(november.sums), november, now_us, periods.month(period), early)
    if code is None:
        assert isinstance(made, Closing)
        assert made.early is early
    else:
        assert isinstance(made, Refused)
        assert made.code == code
        assert says in made.sentence


def test_closing_again_gives_what_was_closed(november):
    books = MemoryBooks(november.sums)
    first = close(books, november)
    assert close(books, november, ENDED_US + 10**12) == first


def test_a_closing_is_drawn_up_again_when_a_batch_came_in_between(november):
    made = close(MemoryBooks(november.sums, moved=2), november)
    assert isinstance(made, Closing)
    assert made.batch == 3
    assert {each.batch for each in made.transfers} == {3}


def test_a_closing_gives_up_on_books_that_never_rest(november):
    with pytest.raises(BooksMovedError):
        close(MemoryBooks(november.sums, moved=closing.ATTEMPTS_MAX), november)


def test_november_is_booked(november):
    made = draw_up(november.sums, 7, november.edition, NOVEMBER, ENDED_US, (3, 17))
    shown = [
        (each.sequence, each.code, each.debit, each.credit, money.exact(each.amount_pico))
        for each in made.transfers
        if "acme" in each.debit or "alibaba" in each.debit or each.sequence > 48
    ]
    acme, alibaba, orchard = "customer/acme", "earner/alibaba", "earner/orchard"
    assert shown == [
        (17, "invoice", f"{acme}/receivable", f"{acme}/unbilled", "325.44"),
        (18, "rounding", f"{acme}/unbilled", f"{orchard}/rounding", "0.0018953952"),
        (23, "rounding", f"{alibaba}/model", f"{orchard}/rounding", "0.0000836"),
        (24, "statement", f"{alibaba}/model", f"{alibaba}/payable", "55.21"),
        (38, "rounding", f"{alibaba}/model", f"{orchard}/rounding", "0.0018101"),
        (39, "statement", f"{alibaba}/model", f"{alibaba}/payable", "3.52"),
        (49, "statement", f"{orchard}/margin", f"{orchard}/payable", "6.796178727816"),
        (50, "statement", f"{orchard}/rounding", f"{orchard}/payable", "0.009891272184"),
    ]
    assert {each.batch for each in made.transfers} == {3}
    assert {each.period for each in made.transfers} == {"2026-11"}


@st.composite
def line_sums(draw: st.DrawFn) -> list[LineSum]:
    """A month's sums: some customers, contracts, currencies and earners; prices may be zero."""
    used = st.sampled_from
    rows = st.tuples(
        used(["acme", "campus", "lumen"]),
        used(["first", "second"]),
        used(["qwen3-max", "glm-4.6"]),
        used(["CNY", "USD", "JPY"]),
        used(["charge", *meters.COMPONENTS]),
        used(["input_tokens", "output_tokens", "requests"]),
        used(["alibaba", "east-grid", "orchard"]),
        used([0, 1, 2_816_000, 10**11]),
    )
    found = draw(st.dictionaries(rows, st.integers(0, 10**9), min_size=1, max_size=30))
    made: list[LineSum] = []
    for row, units in found.items():
        customer, contract, model, currency, kind, meter, earner, price_pico = row
        charged = kind == "charge"
        line = LineSum(
            period="2026-11",
            side="charge" if charged else "cost",
            customer=customer,
            contract=f"{customer}-{contract}",
            model=model,
            component="" if charged else kind,
            party=customer if charged else earner,
            meter=meter,
            price_pico=price_pico,
            currency=currency,
            version="v@2026-01-01",
            units=units,
            amount_pico=units * price_pico,
            calls=1,
        )
        made.append(line)
    unique = {tuple(msgspec.structs.asdict(each).values())[:11]: each for each in made}
    return list(unique.values())


@given(line_sums())
def test_statements_sum_to_invoices(november, sums):
    made = draw_up(sums, 7, november.edition, NOVEMBER, ENDED_US, (1, 100))
    exact: defaultdict[tuple[str, str], int] = defaultdict(int)
    paid: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in made.documents:
        exact[each.kind, each.currency] += each.exact_pico - _rounding_pico(each, made)
        paid[each.kind, each.currency] += each.paid_pico
        assert each.exact_pico == each.paid_pico + each.remainder_pico
        assert money.round_total(each.paid_pico, each.currency).remainder_pico == 0
    for currency in {each.currency for each in sums}:
        assert exact["statement", currency] == exact["invoice", currency]
        assert paid["statement", currency] == paid["invoice", currency]


def _rounding_pico(document, made):
    """What the roundings of other documents add to the operator's statement."""
    if document.kind == "invoice" or document.party != "orchard":
        return 0
    others = [
        each for each in made.documents if each.currency == document.currency and each != document
    ]
    sign = {"invoice": -1, "statement": 1}
    return sum(sign[each.kind] * each.remainder_pico for each in others)


@given(line_sums())
def test_a_closed_period_leaves_nothing_unbilled_or_unsettled(november, sums):
    booked = apply({}, post(sums, 1, "orchard"))
    made = draw_up(sums, 7, november.edition, NOVEMBER, ENDED_US, (1, 1000))
    after = booked | apply(booked, made.transfers)
    for account, balance in after.items():
        name = account[0]
        if not name.endswith(("/receivable", "/payable")):
            assert balance.net_pico == 0, account
    owed: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for each in made.documents:
        kind = "receivable" if each.kind == "invoice" else "payable"
        whose = "customer" if each.kind == "invoice" else "earner"
        owed[f"{whose}/{each.party}/{kind}", each.currency] += each.paid_pico
    for (name, currency), paid_pico in owed.items():
        [net_pico] = [b.net_pico for a, b in after.items() if a[:2] == (name, currency)] or [0]
        assert abs(net_pico) == abs(paid_pico)
        assert net_pico * (1 if name.endswith("receivable") else -1) == paid_pico


@given(line_sums())
def test_sequences_follow_each_other(november, sums):
    made = draw_up(sums, 7, november.edition, NOVEMBER, ENDED_US, (5, 40))
    assert [each.sequence for each in made.transfers] == list(range(40, 40 + len(made.transfers)))
