"""What depends on other calls: a month's tiers, and units that are free, computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue.documents import Grant, Labels, PriceRule, Rates, Tariff, Tier
from steelyard.rating.counting import Counter
from steelyard.values import money, periods
from tests.rating.documents import call, contract, count, edition, flat, rates, tiered, us

PLAIN = flat(input_tokens="2", output_tokens="8")
MONTHLY = tiered(
    "closed",
    (1000, rates(input_tokens="2", output_tokens="8")),
    (3000, rates(input_tokens="1", output_tokens="4")),
    (None, rates(input_tokens="0.5", output_tokens="2")),
    kind="graduated",
)
TOKENS = ("input_tokens", "output_tokens")
SUMMER, AUTUMN = us("2026-06-01T00:00:00+08:00"), us("2026-09-01T00:00:00+08:00")


def grant(size, meters=TOKENS, name="welcome", **more):
    fields: Any = {"model": "*", "from_us": SUMMER, "since": "2026-06-01"} | more
    return Grant(id=name, meters=meters, size=size, **fields)


def signed(tariff, *grants, model="*"):
    return {1: edition(contract(PriceRule(model=model, tariff=tariff), grants=grants))}


def named(tariff: Tariff, *, shared: bool) -> Tariff:
    return Tariff(tiers=tariff.tiers, kind=tariff.kind, name="*", shared=shared)


JUNE, JULY = "2026-06-30T23:59:59+08:00", "2026-07-01T00:00:00+08:00"
CALLS = [
    # what, documents, calls as (when, model, input, output), what each is charged in CNY
    ("a month's tiers: up to the limit", signed(MONTHLY), [(JUNE, "m", 1000, 0)], ["0.002"]),
    ("one unit beyond it", signed(MONTHLY), [(JUNE, "m", 1001, 0)], ["0.002001"]),
    ("the next call goes on where the last one stood", signed(MONTHLY),
     [(JUNE, "m", 999, 0), (JUNE, "m", 1, 0), (JUNE, "m", 1, 0)],
     ["0.001998", "0.000002", "0.000001"]),
    ("one call through all tiers", signed(MONTHLY), [(JUNE, "m", 4000, 0)], ["0.0045"]),
    ("each meter by itself", signed(MONTHLY), [(JUNE, "m", 1000, 0), (JUNE, "m", 0, 1000)],
     ["0.002", "0.008"]),
    ("a month begins anew, in the contract's zone", signed(MONTHLY),
     [(JUNE, "m", 1000, 0), (JUNE, "m", 1, 0), (JULY, "m", 1, 0)],
     ["0.002", "0.000001", "0.000002"]),
    ("each model by itself", signed(named(MONTHLY, shared=False)),
     [(JUNE, "a", 1000, 0), (JUNE, "b", 1, 0)], ["0.002", "0.000002"]),
    ("or all models together", signed(named(MONTHLY, shared=True)),
     [(JUNE, "a", 1000, 0), (JUNE, "b", 1, 0)], ["0.002", "0.000001"]),
    ("free units: exactly all of them", signed(PLAIN, grant(100)), [(JUNE, "m", 60, 40)], ["0"]),
    ("one token more", signed(PLAIN, grant(100)), [(JUNE, "m", 60, 41)], ["0.000008"]),
    ("a grant that ends within a call pays for its input first", signed(PLAIN, grant(100)),
     [(JUNE, "m", 120, 10)], ["0.00012"]),
    ("and what is left for the next", signed(PLAIN, grant(100)),
     [(JUNE, "m", 60, 0), (JUNE, "m", 60, 0), (JUNE, "m", 1, 0)], ["0", "0.00004", "0.000002"]),
    ("a grant never pays for usage before it", signed(PLAIN, grant(100)),
     [("2026-05-31T23:59:59.999999+08:00", "m", 50, 0), ("2026-06-01T00:00:00+08:00", "m", 50, 0)],
     ["0.0001", "0"]),
    ("nor for usage after its end", signed(PLAIN, grant(100, until_us=AUTUMN)),
     [("2026-08-31T23:59:59.999999+08:00", "m", 50, 0), ("2026-09-01T00:00:00+08:00", "m", 50, 0)],
     ["0", "0.0001"]),
    ("free quotas of models are their own", signed(PLAIN, grant(100)),
     [(JUNE, "a", 100, 0), (JUNE, "b", 100, 0)], ["0", "0"]),
    ("unless they are shared", signed(PLAIN, grant(100, shared=True)),
     [(JUNE, "a", 100, 0), (JUNE, "b", 100, 0)], ["0", "0.0002"]),
    ("for some models alone", signed(PLAIN, grant(100, model="a*")),
     [(JUNE, "a1", 1, 0), (JUNE, "b1", 1, 0)], ["0", "0.000002"]),
    ("once", signed(PLAIN, grant(100)), [(JUNE, "m", 100, 0), (JULY, "m", 100, 0)],
     ["0", "0.0002"]),
    ("or every month", signed(PLAIN, grant(100, every="month")),
     [(JUNE, "m", 101, 0), (JULY, "m", 100, 0)], ["0.000002", "0"]),
    ("the first grant in the order of cover, then the second",
     signed(PLAIN, grant(10, name="a"), grant(20, name="b")),
     [(JUNE, "m", 15, 0), (JUNE, "m", 20, 0)], ["0", "0.00001"]),
    ("a grant before the month's tiers, which count what is paid",
     signed(MONTHLY, grant(500)), [(JUNE, "m", 1500, 0), (JUNE, "m", 1, 0)],
     ["0.002", "0.000001"]),
    ("a grant before the tiers of a prompt",
     signed(tiered("closed", (10, rates(input_tokens="1")), (None, rates(input_tokens="2")),
                   kind="progressive"), grant(4)),
     [(JUNE, "m", 12, 0)], ["0.00001"]),
    ("units without a price use up nothing", signed(flat(input_tokens="2"), grant(10)),
     [(JUNE, "m", 0, 10), (JUNE, "m", 10, 0)], ["0", "0"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "documents", "calls", "charges"), CALLS)
def test_calls_are_charged_one_after_the_other(what, documents, calls, charges):
    batch = [
        call(when, number=number, model=model, input_tokens=asked, output_tokens=made)
        for number, (when, model, asked, made) in enumerate(calls)
    ]
    lines, unrated, _ = count(batch, documents, None, {})
    paid = [
        sum(line.amount_pico for line in lines if line.call_id == record.call_id)
        for record in batch
    ]
    assert [money.exact(amount) for amount in paid] == charges
    assert not unrated


def test_what_a_grant_covers_stands_on_a_line_of_its_own_in_its_name():
    lines, _, _ = count([call(JUNE, input_tokens=12)], signed(PLAIN, grant(10)), None, {})
    assert [(line.units, line.price_pico, line.version) for line in lines] == [
        (10, 0, "acme-2026@2026-01-01 welcome@2026-06-01"),
        (2, 2_000_000, "acme-2026@2026-01-01"),
    ]


def test_counters_go_on_from_what_was_before_and_only_changed_ones_are_told():
    documents = signed(MONTHLY, grant(10, every="month"))
    covered = Counter("acme-2026", "grant welcome", "m", "", "2026-06")
    tier = Counter("acme-2026", "price ", "m", "input_tokens", "2026-06")
    before = {covered: 10, tier: 999}
    found = count([call(JUNE, input_tokens=2)], documents, None, before)
    assert [money.exact(line.amount_pico) for line in found.lines] == ["0.000002", "0.000001"]
    assert found.counters == {tier: 1001}


def test_only_calls_of_the_service_tier_are_covered():
    documents = signed(PLAIN, grant(10, labels=Labels(service_tier="standard")))
    batch = [call(JUNE, service_tier=tier, input_tokens=5) for tier in ("batch", "standard")]
    lines, _, _ = count(batch, documents, None, {})
    assert [money.exact(line.amount_pico) for line in lines] == ["0.00001", "0"]


def test_a_call_of_a_closed_month_counts_in_the_month_that_it_is_booked_in():
    batch = [call(JUNE, input_tokens=1001), call(JULY, input_tokens=1)]
    lines, _, _ = count(batch, signed(MONTHLY), periods.month("2026-07"), {})
    assert [money.exact(line.amount_pico) for line in lines] == [
        "0.002", "0.000001", "0.000001",
    ]  # fmt: skip


def test_a_call_without_a_price_is_not_counted():
    batch = [call(JUNE, model="unsold", input_tokens=9), call(JUNE, input_tokens=9)]
    found = count(batch, signed(PLAIN, grant(10), model="m"), None, {})
    assert list(found.counters.values()) == [9]


METERS = ["input_tokens", "output_tokens", "requests"]
some_grants = st.lists(
    st.builds(
        grant,
        st.sampled_from([1, 5, 20, 60]),
        st.sampled_from([TOKENS, ("requests",), ("output_tokens", "requests")]),
        st.sampled_from(["g-1", "g-2", "g-3"]),
        model=st.sampled_from(["*", "a"]),
        shared=st.booleans(),
        every=st.sampled_from([None, "month"]),
        until_us=st.sampled_from([None, us(JULY)]),
    ),
    max_size=3,
    unique_by=lambda each: each.id,
).map(tuple)
some_tariffs = st.builds(
    lambda kind, limit, shared: Tariff(
        tiers=(
            Tier(limit, Rates(dict.fromkeys(METERS, 5))),
            Tier(None, Rates(dict.fromkeys(METERS, 3))),
        ),
        kind=kind,
        name="*",
        shared=shared,
    ),
    st.sampled_from(["whole", "progressive", "graduated", "volume"]),
    st.sampled_from([1, 7, 30]),
    st.booleans(),
)
some_calls = st.lists(
    st.builds(
        call,
        st.sampled_from([JUNE, JULY]),
        edition=st.sampled_from([1, 1, 1, 2]),
        model=st.sampled_from(["a", "a", "b"]),
        deployment=st.sampled_from(["d-1", "d-2"]),
        input_tokens=st.integers(0, 9),
        output_tokens=st.integers(0, 9),
        requests=st.integers(0, 1),
    ),
    max_size=30,
)
some_contracts = st.builds(
    lambda tariff, grants: edition(contract(PriceRule(model="*", tariff=tariff), grants=grants)),
    some_tariffs,
    some_grants,
)


@settings(max_examples=150, deadline=None)
@given(some_calls, some_contracts, some_contracts, st.integers(0, 30))
def test_columns_count_as_the_specification_does_wherever_batches_are_cut(
    batch, first, second, cut
):
    documents = {1: first, 2: second}
    whole = count(batch, documents, None, {})
    before = count(batch[:cut], documents, None, {})
    after = count(batch[cut:], documents, None, before.counters)
    assert before.lines + after.lines == whole.lines
    assert before.counters | after.counters == whole.counters
    asked = sum(sum(record.meters.values()) for record in batch)
    assert sum(line.units for line in whole.lines) == asked
    grants = [one for each in documents.values() for one in each.contracts[0].grants]
    for key, covered in whole.counters.items():
        if key.name.startswith("grant "):
            assert 0 < covered <= max(g.size for g in grants if key.name == f"grant {g.id}")


@settings(max_examples=60, deadline=None)
@given(some_calls, st.permutations(range(30)), some_tariffs)
def test_a_months_tiers_come_to_the_same_in_any_order_of_its_calls(batch, order, tariff):
    documents = signed(tariff) | {2: signed(tariff)[1]}
    shuffled = [batch[place] for place in order if place < len(batch)]
    totals = [
        sum(line.amount_pico for line in count(calls, documents, None, {}).lines)
        for calls in (batch, shuffled)
    ]
    assert totals[0] == totals[1]


VOLUME = tiered(
    "closed",
    (20, rates(input_tokens="3")),
    (60, rates(input_tokens="2")),
    (None, rates(input_tokens="1")),
    kind="volume",
)
BLOCKS = Tariff(tiers=(Tier(None, Rates({"requests": 10**12})),), blocks={"requests": 7})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=12), st.randoms(), st.integers(0, 12))
def test_volume_and_blocks_come_to_the_same_in_any_order_and_any_batches(units, chance, cut):
    # What a month comes to is its sum at the price of the tier that the sum is in.
    total = sum(units)
    price = 3 if total <= 20 else 2 if total <= 60 else 1
    due = {"volume": total * price * 10**6, "blocks": -(-total // 7) * 10**12}
    for name, tariff, meter in (
        ("volume", VOLUME, "input_tokens"),
        ("blocks", BLOCKS, "requests"),
    ):
        documents = {1: edition(contract(PriceRule(model="*", tariff=tariff)))}
        batch = [call(JUNE, number=n, **{meter: each}) for n, each in enumerate(units)]
        chance.shuffle(batch)
        first = count(batch[:cut], documents, None, {})
        second = count(batch[cut:], documents, None, first.counters)
        lines = [*first.lines, *second.lines]
        assert sum(line.amount_pico for line in lines) == due[name]
        assert sum(line.units for line in lines if line.meter == meter) == total
