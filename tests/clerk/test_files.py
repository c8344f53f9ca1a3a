"""Usage in a file is rated as the same usage in a journal is, in whatever batches it is read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steelyard.catalogue.documents import Grant, PriceRule, Window
from steelyard.clerk import files
from steelyard.rating import calls, columnar
from tests.rating.documents import book, call, contract, edition, flat, rates, tiered, us

MONTHLY = tiered(
    "closed",
    (4000, rates(input_tokens="2", output_tokens="8")),
    (None, rates(input_tokens="1", output_tokens="4")),
    kind="volume",
)
NIGHT = Window(factor_ppm=500_000, zone="Asia/Shanghai", hours=((1320, 360),), by="end")
GIVEN = Grant(
    id="welcome",
    model="*",
    meters=("input_tokens", "output_tokens"),
    size=900,
    from_us=us("2026-06-01T00:00:00+08:00"),
    since="2026-06-01",
)
KNOWN = edition(
    contract(PriceRule(model="*", tariff=MONTHLY, windows=(NIGHT,)), name="volume"),
    contract(PriceRule(model="*", book="list-cny"), name="listed", grants=(GIVEN,)),
    books=(book("m-1", ("2026-01-01T00:00:00+08:00", flat(input_tokens="3", output_tokens="9"))),),
)
RECORDS = [
    call(
        f"2026-11-{1 + n // 24:02d}T{n % 24:02d}:59:30+08:00",
        number=n,
        contract=("volume", "listed", "volume")[n % 3],
        model=("m-1", "m-2")[n % 5 == 0],
        seconds=n % 90,
        service_tier=("standard", "batch")[n % 7 == 0],
        input_tokens=100 + n,
        output_tokens=n % 4,
    )
    for n in range(200)
]


def table(**changed):
    columns = {
        "call_id": pa.array([each.call_id for each in RECORDS], pa.binary(16)),
        "at_us": [each.at_us for each in RECORDS],
        "contract": [each.contract for each in RECORDS],
        "model": pa.array([each.model for each in RECORDS]).dictionary_encode(),
        "deployment": [each.deployment for each in RECORDS],
        "service_tier": [each.service_tier for each in RECORDS],
        "duration_us": [each.duration_us for each in RECORDS],
        "input_tokens": [each.meters["input_tokens"] for each in RECORDS],
        "output_tokens": [each.meters["output_tokens"] for each in RECORDS],
    }
    return pa.table(columns | changed)


@pytest.fixture
def expected():
    return columnar.rate(columnar.columns(RECORDS), {1: KNOWN}, None, {})


def test_a_table_of_usage_has_the_lines_of_its_records(expected):
    found = columnar.rate(calls.columns_of(table(), 1), {1: KNOWN}, None, {})
    assert found.table.to_pylist() == expected.table.to_pylist()
    assert found.unrated == expected.unrated
    assert found.counters == expected.counters
    assert {each.reason for each in found.unrated} == {"model"}


def test_counts_that_no_line_can_hold_have_no_price():
    units = [5] * 198 + [-1, 2**60]
    found = columnar.rate(calls.columns_of(table(output_tokens=units), 1), {1: KNOWN}, None, {})
    assert [each.row for each in found.unrated if each.reason == "units"] == [198, 199]


@pytest.mark.parametrize("at_once", [1, 7, 64, 200, 1000])
def test_a_file_of_usage_has_the_lines_of_its_records_in_any_batches(
    tmp_path, monkeypatch, expected, at_once
):
    monkeypatch.setattr(files, "CALLS_AT_ONCE", at_once)
    pq.write_table(table(), tmp_path / "usage.parquet")
    found = files.rate(tmp_path / "usage.parquet", tmp_path / "lines", KNOWN)
    written = sorted((tmp_path / "lines").iterdir())
    lines = [line for path in written for line in pq.read_table(path).to_pylist()]
    assert lines == expected.table.to_pylist()
    assert len(found.files) == len(written) == -(-len(RECORDS) // at_once)
    assert (found.calls, found.lines) == (len(RECORDS), len(lines))
    assert found.unrated == len(expected.unrated)
