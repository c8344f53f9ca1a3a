"""The columns say what the scalar specification says, bit for bit, whatever the documents."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue.documents import (
    COUNTED,
    MINIMUM_LIMIT_PICO,
    UNITS_COUNTED_MAX,
    Contract,
    CostRule,
    Edition,
    Grant,
    Holidays,
    Labels,
    ListPrice,
    PriceBook,
    PriceRule,
    Rates,
    ShareRule,
    Tariff,
    Terms,
    Tier,
    Window,
)
from steelyard.rating import columnar
from steelyard.rating.lines import UNITS_LIMIT
from steelyard.values import money, periods
from steelyard.values.meters import COMPONENTS, METERS
from steelyard.values.usage import Try, UsageRecord
from tests.rating.documents import call, contract, count, edition, flat, rate

US_PER_HOUR = 3_600_000_000
ZONES = ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/St_Johns"]
MODELS = ["m-1", "m-2", "x"]
PATTERNS = ["m-1", "m-*", "*", "*"]
EARLY_US = periods.bounds_us(periods.month("2009-01"), "UTC")[0]
METER_NAMES = ["input_tokens", "cached_input_tokens", "cache_write_1h_tokens", "output_tokens",
               "compute_ms"]  # fmt: skip

# Instants around the month ends that zones see differently, and around the hours the clocks turn.
edges_us = st.sampled_from(
    [
        start + shift * US_PER_HOUR
        for month in ("2009-11", "2026-03", "2026-04", "2026-11", "2026-12", "2027-01")
        for start in periods.bounds_us(periods.month(month), "UTC")
        for shift in (-8, -1, 0, 4, 5)
    ]
)
instants_us = st.builds(lambda edge, off: edge + off, edges_us, st.sampled_from([-1, 0, 1]))
starts_us = st.one_of(st.just(EARLY_US), instants_us)
prices = st.one_of(st.integers(0, 10**8), st.just(0), st.just(money.PRICE_LIMIT_PICO))
all_rates = st.builds(
    Rates, st.dictionaries(st.sampled_from(METER_NAMES), prices, min_size=1, max_size=4)
)


blocks = st.dictionaries(
    st.sampled_from(METER_NAMES), st.sampled_from([1, 5, UNITS_COUNTED_MAX]), max_size=2
)


@st.composite
def tariffs(draw):
    kind = draw(st.sampled_from(["whole", "progressive", "graduated", "volume"]))
    highest = [UNITS_COUNTED_MAX] if kind in COUNTED else [2**61, 2**70]
    limits = sorted(draw(st.sets(st.sampled_from([0, 5, 6, 10, *highest]), max_size=3)))
    tiers = tuple(Tier(limit, draw(all_rates)) for limit in [*limits, None])
    return Tariff(
        tiers=tiers,
        boundary=draw(st.sampled_from(["closed", "open"])),
        kind=kind,
        name=draw(st.sampled_from(["", "x"])),
        shared=draw(st.booleans()),
        per=draw(st.sampled_from(["month", "month", "day", "week", "quarter", "year"])),
        blocks=draw(st.one_of(st.just({}), blocks)),
        minimum_pico=draw(st.sampled_from([0, 0, 1, 10**8, MINIMUM_LIMIT_PICO])),
    )


minutes = st.sampled_from([0, 1, 90, 120, 150, 540, 720, 1380, 1439])
windows = st.builds(
    Window,
    factor_ppm=st.sampled_from([0, 333_333, 1_000_000]),
    zone=st.sampled_from(ZONES),
    days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    holidays=st.sampled_from([None, "CN"]),
    made_up=st.booleans(),
    hours=st.lists(
        st.tuples(minutes, st.one_of(minutes, st.just(1440))).filter(lambda span: len({*span}) > 1),
        min_size=1, max_size=2,
    ).map(tuple),
    by=st.sampled_from(["start", "end"]),
)  # fmt: skip
some_windows = st.lists(windows, max_size=2).map(tuple)
labels = st.builds(
    Labels,
    service_tier=st.sampled_from([None, None, "standard", "batch"]),
    region=st.sampled_from([None, None, "cn-*"]),
    mode=st.sampled_from([None, None, "thinking"]),
)
CN = Holidays(
    id="CN", name="", years=(2026,), off=("2026-11-30", "2026-12-01"), worked=("2026-10-31",),
    source="", checked="",
)  # fmt: skip


@st.composite
def price_rules(draw):
    pattern = draw(st.sampled_from(PATTERNS))
    ppm = draw(st.sampled_from([0, 120_000, 333_333]))
    if draw(st.booleans()):
        own = draw(st.one_of(st.none(), some_windows))
        return PriceRule(
            model=pattern, book="list", discount_ppm=ppm, labels=draw(labels), windows=own
        )
    return PriceRule(
        model=pattern,
        tariff=draw(tariffs()),
        discount_ppm=ppm,
        labels=draw(labels),
        windows=draw(some_windows),
    )


list_prices = st.builds(
    ListPrice,
    model=st.sampled_from(MODELS),
    from_us=starts_us,
    tariff=tariffs(),
    source=st.just(""),
    checked=st.just(""),
    labels=labels,
    windows=some_windows,
)
grants = st.builds(
    Grant,
    id=st.sampled_from(["g-1", "g-2"]),
    model=st.sampled_from(PATTERNS),
    meters=st.sampled_from([
        ("input_tokens", "output_tokens"),
        ("cached_input_tokens", "cache_write_1h_tokens"),
        ("compute_ms",),
    ]),
    size=st.sampled_from([0, 1, 7, 30, 10**12]),
    from_us=st.one_of(st.just(EARLY_US), instants_us),
    since=st.just("then"),
    until_us=st.one_of(st.none(), instants_us),
    every=st.sampled_from([None, "month"]),
    shared=st.booleans(),
    labels=labels,
)  # fmt: skip
contracts = st.builds(
    Contract,
    id=st.sampled_from(["k-1", "k-1", "k-2"]),
    customer=st.sampled_from(["acme", "bolt"]),
    title=st.just(""),
    currency=st.sampled_from(["CNY", "CNY", "USD"]),
    zone=st.sampled_from(ZONES),
    valid_from_us=starts_us,
    valid_from=st.sampled_from(["first", "second"]),
    terms=st.just(Terms()),
    prices=st.lists(price_rules(), min_size=1, max_size=2).map(tuple),
    grants=st.one_of(
        st.just(()), st.lists(grants, max_size=3, unique_by=lambda grant: grant.id).map(tuple)
    ),
)
cost_rules = st.builds(
    CostRule,
    component=st.sampled_from(COMPONENTS),
    earner=st.sampled_from(["lab", "grid"]),
    models=st.sampled_from(PATTERNS),
    deployments=st.sampled_from(["*", "d-1"]),
    rates=all_rates,
)
share_rules = st.builds(
    ShareRule,
    id=st.sampled_from(["s-1", "s-2"]),
    currency=st.sampled_from(["CNY", "CNY", "USD"]),
    valid_from_us=starts_us,
    valid_from=st.sampled_from(["first", "second"]),
    costs=st.lists(cost_rules, max_size=4).map(tuple),
)
editions = st.builds(
    lambda books, signed, shared: Edition(
        operator="house", zone="UTC", customers=(), earners=(), models=(), deployments=(),
        books=(PriceBook(id="list", vendor="", currency="CNY", prices=books),),
        contracts=signed, shares=shared, holidays=(CN,),
    ),
    st.lists(list_prices, min_size=1, max_size=5).map(tuple),
    st.lists(contracts, min_size=1, max_size=4).map(tuple),
    st.lists(share_rules, max_size=3).map(tuple),
)  # fmt: skip
units = st.one_of(st.integers(0, 12), st.integers(0, 12), st.integers(0, UNITS_LIMIT))
counts = st.dictionaries(st.sampled_from([*METER_NAMES, "unknown_meter"]), units, max_size=5)
wrong = st.dictionaries(
    st.sampled_from([*METER_NAMES, "unknown_meter"]),
    st.sampled_from([1, UNITS_LIMIT, UNITS_LIMIT + 1, -1, 2**64]),
)
tries = st.builds(
    Try,
    attempt=st.just(1),
    model=st.sampled_from(MODELS),
    deployment=st.sampled_from(["d-1", "d-2", "d-3"]),
    outcome=st.just("failed"),
    produced=st.one_of(counts, counts, counts, wrong),
    sources=st.just({}),
)
records = st.builds(
    UsageRecord,
    call_id=st.binary(min_size=16, max_size=16),
    at_us=instants_us,
    edition=st.sampled_from([1, 1, 1, 1, 2, 2, 2, 3]),
    customer=st.just(""),
    contract=st.sampled_from(["k-1", "k-1", "k-1", "k-1", "k-1", "k-2", "k-3"]),
    key_id=st.just(""),
    model=st.sampled_from(MODELS),
    deployment=st.sampled_from(["d-1", "d-2"]),
    outcome=st.just("completed"),
    meters=st.one_of(counts, counts, counts, wrong),
    sources=st.just({}),
    produced=st.one_of(st.none(), counts),
    duration_us=st.sampled_from([None, 0, 61_000_000, US_PER_HOUR, 2**63 - 1, -5]),
    service_tier=st.sampled_from(["standard", "batch"]),
    region=st.sampled_from(["", "cn-east"]),
    mode=st.sampled_from(["", "thinking"]),
    tries=st.one_of(st.just(()), st.just(()), st.lists(tries, max_size=3).map(tuple)),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(records, max_size=25),
    editions,
    editions,
    st.sampled_from([None, periods.month("2026-04"), periods.month("2026-12")]),
)
def test_columns_and_scalar_give_the_same_lines(batch, first, second, first_open):
    known = {1: first, 2: second}
    rate(batch, known, first_open)


@settings(max_examples=80, deadline=None)
@given(st.lists(records, min_size=1, max_size=20), editions, editions, st.integers(0, 20))
def test_batches_cut_anywhere_count_on_from_each_other(batch, first, second, cut):
    known = {1: first, 2: second}
    whole = count(batch, known, None, {})
    before = count(batch[:cut], known, None, {})
    after = count(batch[cut:], known, None, before.counters)
    assert before.lines + after.lines == whole.lines
    assert before.counters | after.counters == whole.counters


@given(st.lists(st.dictionaries(st.sampled_from(list(METERS)), st.integers(0, 10**6)), max_size=20))
def test_flat_prices_add_up_over_calls(weighed):
    tariff = flat(input_tokens="2.5", output_tokens="10", reasoning_tokens="0.0028")
    known = {1: edition(contract(PriceRule(model="m", tariff=tariff)))}
    batch = [
        msgspec.structs.replace(call(number=number), meters=meters)
        for number, meters in enumerate(weighed)
    ]
    whole = {name: sum(meters.get(name, 0) for meters in weighed) for name in METERS}
    apart, _ = rate(batch, known)
    together, _ = rate([msgspec.structs.replace(call(), meters=whole)], known)
    assert sum(line.amount_pico for line in apart) == sum(line.amount_pico for line in together)


def test_batches_cut_anywhere_give_the_lines_of_the_whole():
    tariff = flat(input_tokens="2.5", output_tokens="10")
    known = {1: edition(contract(PriceRule(model="m*", tariff=tariff)))}
    batch = [
        call(number=n, model=f"m-{n % 3}", input_tokens=n % 5, output_tokens=n) for n in range(40)
    ]
    whole = columnar.rate(columnar.columns(batch), known, None, {}).table.to_pylist()
    for cut in (0, 1, 17, 40):
        parts = [columnar.columns(part) for part in (batch[:cut], batch[cut:])]
        tables = [columnar.rate(part, known, None, {}).table.to_pylist() for part in parts]
        assert tables[0] + tables[1] == whole
