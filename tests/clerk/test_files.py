"""Usage in a file is rated as the same usage in a journal is, in whatever batches it is read."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.rating import write_studio, write_usage
from steelyard.catalogue.documents import Grant, PriceRule, Window
from steelyard.clerk import files
from steelyard.cli.main import cli
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


@pytest.mark.parametrize(
    ("changed", "left_out", "says"),
    [
        ({}, "model", 'column "model" is missing'),
        ({"input_token": [1] * 200}, "", 'column "input_token" is not known; did you mean "input_'),
        ({"at_us": ["now"] * 200}, "", 'column "at_us" is string; it has to be int64'),
        ({"call_id": ["x"] * 200}, "", 'column "call_id" is string; it has to be 16 bytes'),
        ({"output_tokens": [None, *range(199)]}, "", 'column "output_tokens" has places without'),
    ],
)
def test_a_file_that_is_no_usage_is_refused(tmp_path, changed, left_out, says):
    columns = table(**changed)
    if left_out:
        columns = columns.drop_columns([left_out])
    pq.write_table(columns, tmp_path / "usage.parquet")
    with pytest.raises(files.UsageFileError) as found:
        files.rate(tmp_path / "usage.parquet", tmp_path / "lines", KNOWN)
    assert says in str(found.value)


def test_the_command_rates_a_file_and_books_nothing(tmp_path):
    usage, lines = tmp_path / "usage.parquet", tmp_path / "lines"
    write_studio(tmp_path)
    write_usage(usage, 100, range(50))
    asked = ["--studio", str(tmp_path), "rate", str(usage), str(lines), "--json"]
    told = json.loads(CliRunner().invoke(cli, asked).stdout)
    assert (told["calls"], told["unrated"], told["files"]) == (100, 0, 1)
    assert not (tmp_path / "steelyard.db").exists()
    again = CliRunner().invoke(cli, asked)
    assert again.exit_code == 1
    assert "is not empty; name a new folder" in again.output
    usage.write_text("text", "utf-8")
    wrong = CliRunner().invoke(cli, [*asked[:4], str(tmp_path / "other")])
    assert "is no Parquet file" in wrong.output
