"""What a call costs, computed by hand, and the same by both machines."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.catalogue.documents import (
    CostRule,
    Labels,
    ListPrice,
    PriceBook,
    PriceRule,
    Rates,
)
from steelyard.catalogue.offers import Offer
from steelyard.rating import scalar
from steelyard.values import money, periods
from tests.rating.documents import (
    book,
    call,
    contract,
    edition,
    flat,
    rate,
    rates,
    shares,
    tiered,
    tried,
    us,
)

PLAIN = flat(input_tokens="2", cached_input_tokens="0.2", output_tokens="8")
SHORT = rates(input_tokens="1", output_tokens="4")
LONG = rates(input_tokens="2", output_tokens="6")
CLOSED = tiered("closed", (32_000, SHORT), (None, LONG))
OPEN = tiered("open", (32_000, SHORT), (None, LONG))
FREE = flat(input_tokens="0", output_tokens="0")
FULL_RANGE = flat(
    input_tokens="2.5",
    cached_input_tokens="0.25",
    cache_write_tokens="3.125",
    output_tokens="10",
    reasoning_tokens="40",
)
BOOK = book(
    "m",
    ("2026-01-01T00:00:00+08:00", flat(input_tokens="2", output_tokens="8")),
    ("2026-11-02T10:00:00+08:00", flat(input_tokens="1", output_tokens="4")),
)


def own(tariff, discount_ppm=0):
    return edition(contract(PriceRule(model="m", tariff=tariff, discount_ppm=discount_ppm)))


def listed(discount_ppm=0):
    rule = PriceRule(model="m", book="list-cny", discount_ppm=discount_ppm)
    return edition(contract(rule), books=(BOOK,))


CASES = [
    # what, documents, the call, and what each meter comes to in CNY
    ("input and output", own(PLAIN), call(input_tokens=1000, output_tokens=500),
     {"input_tokens": "0.002", "output_tokens": "0.004"}),
    ("one token", own(PLAIN), call(input_tokens=1), {"input_tokens": "0.000002"}),
    ("cached input at its own price", own(PLAIN),
     call(input_tokens=100, cached_input_tokens=900, output_tokens=10),
     {"input_tokens": "0.0002", "cached_input_tokens": "0.00018", "output_tokens": "0.00008"}),
    ("five meters", own(FULL_RANGE),
     call(input_tokens=1, cached_input_tokens=2, cache_write_tokens=3, output_tokens=4,
          reasoning_tokens=5),
     {"input_tokens": "0.0000025", "cached_input_tokens": "0.0000005",
      "cache_write_tokens": "0.000009375", "output_tokens": "0.00004",
      "reasoning_tokens": "0.0002"}),
    ("closed tier, one token below", own(CLOSED), call(input_tokens=31_999, output_tokens=1),
     {"input_tokens": "0.031999", "output_tokens": "0.000004"}),
    ("closed tier, exactly at it", own(CLOSED), call(input_tokens=32_000, output_tokens=1),
     {"input_tokens": "0.032", "output_tokens": "0.000004"}),
    ("closed tier, one token above", own(CLOSED), call(input_tokens=32_001, output_tokens=1),
     {"input_tokens": "0.064002", "output_tokens": "0.000006"}),
    ("open tier, one token below", own(OPEN), call(input_tokens=31_999),
     {"input_tokens": "0.031999"}),
    ("open tier, exactly at it", own(OPEN), call(input_tokens=32_000, output_tokens=1),
     {"input_tokens": "0.064", "output_tokens": "0.000006"}),
    ("open tier, one token above", own(OPEN), call(input_tokens=32_001),
     {"input_tokens": "0.064002"}),
    ("cached tokens count for the tier", own(tiered("closed", (1000, SHORT),
     (None, rates(input_tokens="2", cached_input_tokens="1")))),
     call(input_tokens=1, cached_input_tokens=1000),
     {"input_tokens": "0.000002", "cached_input_tokens": "0.001"}),
    ("so do those written to the cache", own(tiered("closed", (1000, SHORT), (None, LONG))),
     call(input_tokens=500, cache_write_tokens=501), {"input_tokens": "0.001"}),
    ("output does not", own(CLOSED), call(input_tokens=1, output_tokens=99_999),
     {"input_tokens": "0.000001", "output_tokens": "0.399996"}),
    ("12 % off", own(PLAIN, 120_000), call(input_tokens=1000, output_tokens=1),
     {"input_tokens": "0.00176", "output_tokens": "0.00000704"}),
    ("12.5 % off the list", listed(125_000), call(input_tokens=8),
     {"input_tokens": "0.000014"}),
    ("a price of zero is a line of zero", own(FREE), call(input_tokens=7, output_tokens=9),
     {"input_tokens": "0", "output_tokens": "0"}),
    ("100 % off too", own(PLAIN, 1_000_000), call(input_tokens=7), {"input_tokens": "0"}),
    ("no units, no line", own(PLAIN), call(input_tokens=0, output_tokens=1),
     {"output_tokens": "0.000008"}),
    ("no price, no line", own(PLAIN), call(input_tokens=1, images=3, requests=1),
     {"input_tokens": "0.000002"}),
    ("nothing weighed, nothing charged", own(PLAIN), call(), {}),
    ("the microsecond before the list price changes", listed(),
     call("2026-11-02T09:59:59.999999+08:00", input_tokens=1000), {"input_tokens": "0.002"}),
    ("the microsecond at which it changes", listed(),
     call("2026-11-02T10:00:00+08:00", input_tokens=1000), {"input_tokens": "0.001"}),
]  # fmt: skip

# PTU's burn-down as a tariff: a prompt's first 32K count 1.0 each, what is beyond more.
PROGRESSIVE = tiered(
    "closed",
    (32_000, rates(input_tokens="1", cached_input_tokens="0.2", output_tokens="1")),
    (None, rates(input_tokens="1.33", cached_input_tokens="0.25", output_tokens="1.17")),
    kind="progressive",
)
CASES += [
    ("progressive, 50K in and 1K out", own(PROGRESSIVE),
     call(input_tokens=50_000, output_tokens=1000),
     {"input_tokens": "0.032 0.02394", "output_tokens": "0.00117"}),
    ("progressive, the first 30K cached", own(PROGRESSIVE),
     call(input_tokens=20_000, cached_input_tokens=30_000),
     {"input_tokens": "0.002 0.02394", "cached_input_tokens": "0.006"}),
    ("progressive, cached beyond the tier", own(PROGRESSIVE),
     call(input_tokens=1, cached_input_tokens=32_001),
     {"input_tokens": "0.00000133", "cached_input_tokens": "0.0064 0.00000025"}),
    ("progressive, exactly at the tier", own(PROGRESSIVE),
     call(input_tokens=32_000, output_tokens=1000),
     {"input_tokens": "0.032", "output_tokens": "0.001"}),
    ("progressive, one token above", own(PROGRESSIVE),
     call(input_tokens=32_001, output_tokens=1000),
     {"input_tokens": "0.032 0.00000133", "output_tokens": "0.00117"}),
]  # fmt: skip


def labelled(*rules):
    """Prices of 1, 2, 3 … for calls with these labels, in this order."""
    return edition(
        contract(
            *(
                PriceRule(model="m", tariff=flat(input_tokens=str(price)), labels=Labels(**labels))
                for price, labels in enumerate(rules, start=1)
            )
        )
    )


def in_book(*rows):
    listed = [
        ListPrice(
            model="m", from_us=us(day), tariff=flat(input_tokens=price), source="", checked="",
            labels=Labels(**labels),
        )
        for day, price, labels in rows
    ]  # fmt: skip
    priced = PriceBook(id="list-cny", vendor="v", currency="CNY", prices=tuple(listed))
    return edition(contract(PriceRule(model="m", book="list-cny")), books=(priced,))


BATCH, STANDARD, THINKING = {"service_tier": "batch"}, {"service_tier": "standard"}, {
    "mode": "thinking"
}  # fmt: skip
OLD, NEW = "2026-01-01T00:00:00+08:00", "2026-06-01T00:00:00+08:00"
CASES += [
    ("a batch call by the batch price", labelled(BATCH, {}),
     call(service_tier="batch", input_tokens=1), {"input_tokens": "0.000001"}),
    ("a standard call by the price for any", labelled(BATCH, {}),
     call(input_tokens=1), {"input_tokens": "0.000002"}),
    ("a call of which nothing is said is standard", labelled(STANDARD, {}),
     call(input_tokens=1), {"input_tokens": "0.000001"}),
    ("the first that matches", labelled(THINKING, BATCH, {}),
     call(service_tier="batch", mode="thinking", input_tokens=1), {"input_tokens": "0.000001"}),
    ("a region by its pattern", labelled({"region": "us-*"}, {"region": "cn-*"}, {}),
     call(region="cn-hangzhou", input_tokens=1), {"input_tokens": "0.000002"}),
    ("in a book, the tier's own price before others",
     in_book((NEW, "3", {}), (OLD, "1", BATCH)), call(service_tier="batch", input_tokens=1),
     {"input_tokens": "0.000001"}),
    ("in a book, a tier's before a mode's",
     in_book((OLD, "1", THINKING), (OLD, "2", BATCH)),
     call(service_tier="batch", mode="thinking", input_tokens=1), {"input_tokens": "0.000002"}),
    ("in a book, the newest of the tier's",
     in_book((OLD, "1", BATCH), (NEW, "2", BATCH)), call(service_tier="batch", input_tokens=1),
     {"input_tokens": "0.000002"}),
    ("cache writes by their lifetime",
     own(flat(input_tokens="4", cache_write_5m_tokens="5", cache_write_1h_tokens="8")),
     call(input_tokens=1, cache_write_5m_tokens=10, cache_write_1h_tokens=100),
     {"input_tokens": "0.000004", "cache_write_5m_tokens": "0.00005",
      "cache_write_1h_tokens": "0.0008"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "documents", "record", "charges"), CASES)
def test_a_call_is_charged(what, documents, record, charges):
    lines, unrated = rate([record], {1: documents})
    found: dict[str, str] = {}
    for line in lines:
        amount = money.exact(line.amount_pico)
        found[line.meter] = f"{found[line.meter]} {amount}" if line.meter in found else amount
    assert found == charges
    assert not unrated


TOKENS_COST = CostRule(component="model", earner="lab", rates=rates(output_tokens="1"))
TIME_COST = CostRule(component="compute", earner="grid", rates=Rates({"compute_ms": 2_000_000}))
CALL_COST = CostRule(component="scheduling", earner="house", rates=Rates({"requests": 5_000_000}))
COSTED = edition(
    contract(PriceRule(model="m", tariff=PLAIN)),
    shares=(shares(TOKENS_COST, TIME_COST, CALL_COST),),
)


def test_costs_follow_the_charges_in_the_order_of_components_and_meters():
    record = call(compute_ms=250, requests=1, output_tokens=10, input_tokens=1)
    lines, _ = rate([record], {1: COSTED})
    assert [
        (line.side, line.component, line.party, line.meter, money.exact(line.amount_pico))
        for line in lines
    ] == [
        ("charge", "", "acme", "input_tokens", "0.000002"),
        ("charge", "", "acme", "output_tokens", "0.00008"),
        ("cost", "model", "lab", "output_tokens", "0.00001"),
        ("cost", "compute", "grid", "compute_ms", "0.0005"),
        ("cost", "scheduling", "house", "requests", "0.000005"),
    ]
    assert lines[0].version == "acme-2026@2026-01-01"
    assert lines[2].version == "shares@2026-01-01"


def test_what_was_produced_costs_and_what_was_delivered_is_charged():
    record = call(input_tokens=1, output_tokens=3, produced={"input_tokens": 1, "output_tokens": 9})
    lines, _ = rate([record], {1: COSTED})
    assert {(line.side, line.meter): line.units for line in lines} == {
        ("charge", "input_tokens"): 1,
        ("charge", "output_tokens"): 3,
        ("cost", "output_tokens"): 9,
    }


def test_a_call_that_we_broke_costs_us_and_charges_nobody():
    record = call(produced={"output_tokens": 9})
    lines, _ = rate([record], {1: COSTED})
    assert [(line.side, line.units) for line in lines] == [("cost", 9)]


@pytest.mark.parametrize(
    ("at", "first_open", "period"),
    [
        ("2026-11-30T15:59:59.999999+00:00", None, "2026-11"),
        ("2026-11-30T16:00:00+00:00", None, "2026-12"),
        ("2026-11-30T15:59:59+00:00", "2026-11", "2026-11"),
        ("2026-11-30T15:59:59+00:00", "2026-12", "2026-12"),
        ("2026-12-31T23:59:59+00:00", "2026-12", "2027-01"),
    ],
)
def test_the_period_is_the_contracts_month_or_the_first_open_one(at, first_open, period):
    opened = None if first_open is None else periods.month(first_open)
    lines, _ = rate([call(at, input_tokens=1)], {1: COSTED}, opened)
    assert [line.period for line in lines] == [period]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (call(edition=2, input_tokens=1), "edition"),
        (call(contract="other", input_tokens=1), "contract"),
        (call("2025-12-31T15:59:59.999999+00:00", input_tokens=1), "time"),
        (call("9999-01-01T00:00:00+00:00", input_tokens=1), "time"),
        (call(input_tokens=-1), "units"),
        (call(input_tokens=2**61), "units"),
        (call(something_new=2**80), "units"),
        (call(input_tokens=1, produced={"output_tokens": -1}), "units"),
        (call(model="unsold", input_tokens=1), "model"),
        (call(model="unsold", input_tokens=-1), "units"),
    ],
)
def test_a_call_without_a_price_is_kept_with_its_reason(record, reason):
    good = call(input_tokens=1, number=7)
    lines, unrated = rate([record, good], {1: COSTED})
    assert [(each.row, each.call_id, each.reason) for each in unrated] == [
        (0, record.call_id, reason)
    ]
    assert [line.call_id for line in lines] == [good.call_id]


def cost(component, earner, models="*", deployments="*", **per_million) -> CostRule:
    return CostRule(
        component=component,
        earner=earner,
        models=models,
        deployments=deployments,
        rates=rates(**per_million),
    )


TWO_MODELS = edition(
    contract(
        PriceRule(model="m", tariff=PLAIN),
        PriceRule(model="big", tariff=flat(output_tokens="80")),
    ),
    shares=(
        shares(
            cost("model", "lab", "big", output_tokens="10"),
            cost("model", "lab", output_tokens="1"),
            cost("compute", "spot", "*", "spot-*", input_tokens="3"),
            cost("compute", "grid", input_tokens="5"),
        ),
    ),
)
ANSWERED = call(deployment="own", input_tokens=7, output_tokens=10)
ATTEMPTS = [
    # the attempts before the answer, what they cost beside it: (deployment, party, meter, amount)
    ("one that made nothing", [tried(1, "spot-1")], []),
    ("one that read the prompt", [tried(1, "spot-1", input_tokens=1000)],
     [("spot-1", "spot", "input_tokens", "0.003")]),
    ("one of a dearer model, at that model's cost", [tried(1, "own", "big", output_tokens=1000)],
     [("own", "lab", "output_tokens", "0.01")]),
    ("two, each by itself",
     [tried(1, "spot-1", input_tokens=1000), tried(2, "own", "big", input_tokens=1000)],
     [("spot-1", "spot", "input_tokens", "0.003"), ("own", "grid", "input_tokens", "0.005")]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "before", "costs"), ATTEMPTS)
def test_each_attempt_costs_what_it_costs_and_only_the_answer_is_charged(what, before, costs):
    record = msgspec.structs.replace(ANSWERED, tries=tuple(before))
    other = msgspec.structs.replace(ANSWERED, call_id=bytes(15) + b"7")
    lines, unrated = rate([record, other], {1: TWO_MODELS})
    alone, _ = rate([ANSWERED], {1: TWO_MODELS})
    assert not unrated
    assert [line for line in lines if line.call_id == record.call_id][: len(alone)] == alone
    more = lines[len(alone) : len(lines) - len(alone)]
    assert [
        (line.deployment, line.party, line.meter, money.exact(line.amount_pico)) for line in more
    ] == costs
    assert all((line.side, line.call_id) == ("cost", record.call_id) for line in more)


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (tried(1, "d", "unsold", output_tokens=1), "model"),
        (tried(1, "d", output_tokens=-1), "units"),
    ],
)
def test_a_call_has_the_lines_of_all_its_attempts_or_none(attempt, reason):
    record = call(input_tokens=1, tries=(tried(1, "d", input_tokens=1), attempt))
    lines, unrated = rate([call(number=6, input_tokens=1), record], {1: TWO_MODELS})
    assert [line.call_id for line in lines if line.call_id == record.call_id] == []
    assert [(each.row, each.call_id, each.reason) for each in unrated] == [
        (1, record.call_id, reason)
    ]


@pytest.mark.parametrize(("what", "documents", "record", "charges"), CASES)
def test_the_price_is_the_sum_of_the_lines(what, documents, record, charges):
    offer = scalar.offer_for(record, {1: documents})
    assert isinstance(offer, Offer)
    assert scalar.price_pico(record, offer) == sum(
        money.amount(each) for amounts in charges.values() for each in amounts.split()
    )
