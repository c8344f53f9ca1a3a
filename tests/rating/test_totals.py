"""The sums of a batch's lines, against the plain ones."""

from __future__ import annotations

from collections import Counter

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue.documents import CostRule, PriceRule
from steelyard.rating import columnar, totals
from steelyard.rating.lines import Line, Total
from steelyard.rating.schema import SCHEMA
from tests.rating.documents import call, contract, edition, flat, rates, shares

KEYS = ("period", "side", "customer", "contract", "model", "component", "party", "currency")


def summed(lines: list[Line]) -> list[Total]:
    sums: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        sums[tuple(getattr(line, key) for key in KEYS)] += line.amount_pico
    named = [dict(zip(KEYS, key, strict=True)) | {"amount_pico": sums[key]} for key in sums]
    return sorted(msgspec.convert(each, Total) for each in named)


def table(lines: list[Line]) -> pa.Table:
    return pa.Table.from_pylist([msgspec.structs.asdict(line) for line in lines], schema=SCHEMA)


lines_of_any_size = st.builds(
    Line,
    call_id=st.just(bytes(16)),
    at_us=st.just(0),
    period=st.sampled_from(["2026-11", "2026-12"]),
    customer=st.sampled_from(["acme", "bolt"]),
    contract=st.just("k"),
    model=st.sampled_from(["m-1", "m-2", "m-3"]),
    deployment=st.just("d"),
    side=st.sampled_from(["charge", "cost"]),
    component=st.sampled_from(["", "model"]),
    party=st.sampled_from(["acme", "lab"]),
    meter=st.just("input_tokens"),
    units=st.just(1),
    price_pico=st.just(1),
    amount_pico=st.integers(-(10**37), 10**37),
    currency=st.sampled_from(["CNY", "USD"]),
    version=st.just(""),
)


@given(st.lists(lines_of_any_size, max_size=30))
def test_totals_are_exact_for_amounts_of_any_size(lines):
    assert totals.totals(table(lines)) == summed(lines)


def test_a_sum_beyond_64_bits_keeps_every_digit():
    rule = PriceRule(model="m", tariff=flat(output_tokens="1000000"))
    known = {1: edition(contract(rule))}
    batch = [call(number=n, output_tokens=9_223_372) for n in range(1000)]
    found = totals.totals(columnar.rate(columnar.columns(batch), known, None, {}).table)
    assert [total.amount_pico for total in found] == [9_223_372 * 1000 * 10**12]
    assert found[0].amount_pico > 2**63


def test_a_total_names_where_an_amount_goes(tmp_path):
    cost = CostRule(component="model", earner="lab", rates=rates(output_tokens="1"))
    rule = PriceRule(model="m", tariff=flat(input_tokens="0", output_tokens="8"))
    known = {1: edition(contract(rule), shares=(shares(cost),))}
    batch = [call(number=n, input_tokens=5, output_tokens=1000) for n in range(3)]
    lines = columnar.rate(columnar.columns(batch), known, None, {}).table
    same = {
        "period": "2026-11", "customer": "acme", "contract": "acme-2026", "model": "m",
        "currency": "CNY",
    }  # fmt: skip
    expected = [
        Total(side="charge", component="", party="acme", amount_pico=24_000_000_000, **same),
        Total(side="cost", component="model", party="lab", amount_pico=3_000_000_000, **same),
    ]
    assert totals.totals(lines) == expected
    assert totals.totals(lines.slice(1, 1))[0].amount_pico == 8_000_000_000  # of the first call
    pq.write_table(lines, tmp_path / "lines.parquet", row_group_size=2)
    assert totals.totals(pq.read_table(tmp_path / "lines.parquet")) == expected
    assert totals.totals(pa.concat_tables([lines, lines])) == [
        msgspec.structs.replace(total, amount_pico=2 * total.amount_pico) for total in expected
    ]


def test_nothing_sums_to_nothing():
    assert totals.totals(SCHEMA.empty_table()) == []


@pytest.mark.parametrize("limit", [1, 10, 10**6])
def test_many_possible_keys_are_sorted_instead_of_counted(monkeypatch, limit):
    monkeypatch.setattr(totals, "_SPARSE", limit)
    rule = PriceRule(model="*", tariff=flat(output_tokens="8"))
    known = {1: edition(contract(rule))}
    batch = [call(number=n, model=f"m-{n % 7}", output_tokens=n) for n in range(50)]
    found = totals.totals(columnar.rate(columnar.columns(batch), known, None, {}).table)
    assert [total.amount_pico for total in found] == [
        sum(n for n in range(50) if n % 7 == m) * 8_000_000 for m in range(7)
    ]
