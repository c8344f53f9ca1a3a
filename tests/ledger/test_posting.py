from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steelyard.ledger import balances, posting
from steelyard.rating.lines import Total


def total(
    side, party, amount_pico, component="", customer="acme", period="2026-11", currency="CNY"
):
    return Total(
        period=period,
        side=side,
        customer=customer,
        contract="c",
        model="m",
        component=component,
        party=party,
        currency=currency,
        amount_pico=amount_pico,
    )


def rows(moved):
    return [(t.sequence, t.code, t.debit, t.credit, t.amount_pico) for t in moved]


def test_a_sale_is_split_whole():
    found = posting.post(
        [
            total("charge", "acme", 100),
            total("cost", "lab", 30, "model"),
            total("cost", "farm", 25, "compute"),
        ],
        batch=7,
        operator="house",
    )
    assert rows(found) == [
        (1, "charge", "customer/acme/unbilled", "sales/c/m", 100),
        (2, "cost", "sales/c/m", "earner/farm/compute", 25),
        (3, "cost", "sales/c/m", "earner/lab/model", 30),
        (4, "margin", "sales/c/m", "earner/house/margin", 45),
    ]
    assert {t.batch for t in found} == {7}


def test_a_sale_below_its_cost_takes_from_the_margin():
    found = posting.post(
        [total("charge", "acme", 10), total("cost", "lab", 30, "model")], 1, "house"
    )
    assert rows(found) == [
        (1, "charge", "customer/acme/unbilled", "sales/c/m", 10),
        (2, "cost", "sales/c/m", "earner/lab/model", 30),
        (3, "margin", "earner/house/margin", "sales/c/m", 20),
    ]


def test_a_reversal_goes_the_other_way():
    found = posting.post([total("charge", "acme", -10)], 1, "house")
    assert rows(found) == [
        (1, "charge", "sales/c/m", "customer/acme/unbilled", 10),
        (2, "margin", "earner/house/margin", "sales/c/m", 10),
    ]


def test_nothing_moves_nothing():
    assert posting.post([], 1, "house") == ()
    assert posting.post([total("charge", "acme", 0)], 1, "house") == ()


def test_periods_and_currencies_are_kept_apart():
    found = posting.post(
        [
            total("charge", "acme", 1, period="2026-12"),
            total("charge", "acme", 2),
            total("charge", "acme", 3, currency="USD"),
        ],
        1,
        "house",
    )
    charges = [(t.period, t.currency, t.amount_pico) for t in found if t.code == "charge"]
    assert charges == [("2026-11", "CNY", 2), ("2026-11", "USD", 3), ("2026-12", "CNY", 1)]


parties = st.sampled_from(["acme", "lab", "farm", "house"])
totals = st.lists(
    st.builds(
        total,
        side=st.sampled_from(["charge", "cost"]),
        party=parties,
        amount_pico=st.integers(-(10**30), 10**30),
        component=st.sampled_from(["model", "compute"]),
        customer=parties,
        period=st.sampled_from(["2026-10", "2026-11"]),
        currency=st.sampled_from(["CNY", "USD"]),
    ),
    max_size=20,
)


@given(totals)
def test_every_batch_balances_and_leaves_sales_at_zero(found):
    after = balances.apply({}, posting.post(found, 1, "house"))
    assert list(balances.faults(after)) == []


@given(st.lists(totals, max_size=4))
def test_any_batching_gives_the_same_nets(batches):
    together: balances.Balances = balances.apply(
        {}, posting.post([one for some in batches for one in some], 1, "house")
    )
    apart: dict[balances.Account, balances.Balance] = {}
    for number, some in enumerate(batches, start=1):
        apart |= balances.apply(apart, posting.post(some, number, "house"))
    nets = [
        {account: b.net_pico for account, b in found.items() if b.net_pico}
        for found in (together, apart)
    ]
    assert nets[0] == nets[1]


@given(totals, st.randoms())
def test_the_order_of_totals_does_not_matter(found, chance):
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert posting.post(shuffled, 1, "house") == posting.post(found, 1, "house")


def test_a_deposit_is_no_sale():
    found = posting.post(
        [
            total("deposit", "acme", 500, "advance"),
            total("deposit", "acme", -30, "retention"),
            total("charge", "acme", 100),
        ],
        batch=1,
        operator="house",
    )
    assert rows(found) == [
        (1, "charge", "customer/acme/unbilled", "sales/c/m", 100),
        (2, "margin", "sales/c/m", "earner/house/margin", 100),
        (3, "deposit", "customer/acme/unbilled", "customer/acme/advance", 500),
        (4, "deposit", "customer/acme/retention", "customer/acme/unbilled", 30),
    ]
