"""Rows become calls: whose, when, and under which id."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.metering.traces import intake, placing
from steelyard.metering.traces.formats import FORMATS
from steelyard.metering.traces.placing import LeftOut, Placement
from steelyard.metering.traces.rows import LINE_BYTES_MAX, BadRow, TraceError
from steelyard.values import periods
from steelyard.values.usage import UsageRecord
from tests.rating.documents import us

START_US = us("2026-11-02T09:00:00+08:00")
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
SERVEGEN = "t_s,model,client,input_tokens,image_tokens,image_count,output_tokens,reasoning_tokens"


def placement(**changes) -> Placement:
    plain: dict[str, Any] = {
        "edition": 3, "customer": "acme", "contract": "acme-2026", "deployment": "",
        "model": "m", "models": {}, "start_us": None, "sells": lambda _: True,
    }  # fmt: skip
    return Placement(**(plain | changes))


def read(lines, name="azure", **changes) -> list[Any]:
    header = {"azure": [AZURE], "servegen": [SERVEGEN], "mooncake": []}.get(name, [])
    whole = [*header, *lines]
    return list(placing.read(lambda: iter(whole), FORMATS[name], placement(**changes)))


def ids(items) -> list[bytes]:
    return [item.call_id for item in items if isinstance(item, UsageRecord)]


def test_what_a_row_says_of_its_price_is_in_the_record():
    header = "timestamp,service_tier,region,mode,seconds"
    (said, unsaid) = read([header, "2026-11-02,batch,cn,thinking,2", "2026-11-02,,,,"], "csv")
    assert (said.service_tier, said.region, said.mode) == ("batch", "cn", "thinking")
    assert said.duration_us == 2_000_000
    assert (unsaid.service_tier, unsaid.region, unsaid.mode) == ("standard", "", "")


def test_a_row_becomes_a_record():
    (record,) = read(["1.25,deepseek-r1,35,27,0,0,1362,1133"], "servegen", start_us=START_US)
    assert record == UsageRecord(
        call_id=record.call_id,
        at_us=START_US + 1_250_000,
        edition=3,
        customer="acme",
        contract="acme-2026",
        key_id="",
        model="m",
        deployment="",
        outcome="completed",
        meters={
            "input_tokens": 27, "output_tokens": 229, "reasoning_tokens": 1133, "requests": 1,
        },
        sources=dict.fromkeys(
            ["input_tokens", "output_tokens", "reasoning_tokens", "requests"], "imported"
        ),
        origin="imported",
        user="35",
    )  # fmt: skip
    assert int.from_bytes(record.call_id[:6], "big") == record.at_us // 1000


def test_instants_stay_or_move_together_so_that_the_first_row_is_at_the_start():
    lines = ["2023-11-16 18:15:46.68,1,1", "2023-11-16 18:15:47.68,1,1"]
    assert [item.at_us for item in read(lines)] == [
        us("2023-11-16T18:15:46.680000+00:00"),
        us("2023-11-16T18:15:47.680000+00:00"),
    ]
    moved = read(lines, start_us=START_US)
    assert [item.at_us for item in moved] == [START_US, START_US + 1_000_000]


def test_identical_rows_are_distinct_calls_and_the_same_ones_each_time():
    line = "2023-11-16 18:15:46.68,374,44"
    three = ids(read([line] * 3))
    assert len(set(three)) == 3
    assert ids(read([line] * 3)) == three
    assert ids(read([line] * 2)) == three[:2]


@pytest.mark.parametrize(
    "changes",
    [{"customer": "bee"}, {"contract": "acme-2027"}, {"model": "n"}, {"start_us": START_US}],
)
def test_placed_otherwise_a_row_is_another_call(changes):
    lines = ["2023-11-16 18:15:46.68,374,44"]
    assert set(ids(read(lines))).isdisjoint(ids(read(lines, **changes)))


def test_documents_recorded_since_do_not_make_another_call():
    lines = ["2023-11-16 18:15:46.68,374,44"]
    assert ids(read(lines)) == ids(read(lines, edition=4))


times = st.sampled_from([f"2023-11-16 18:15:{second:02d}" for second in range(6)])
azure_lines = st.builds(lambda at, units: f"{at},{units},1", times, st.integers(0, 2))


@given(st.lists(azure_lines, max_size=25), st.data())
def test_a_trace_that_goes_on_begins_with_the_same_calls(lines, data):
    cut = data.draw(st.integers(0, len(lines)))
    whole = ids(read(lines))
    assert len(set(whole)) == len(lines)
    assert ids(read(lines[:cut])) == whole[:cut]


@given(st.lists(azure_lines, max_size=25))
def test_order_does_not_matter_to_which_calls_there_are(lines):
    assert set(ids(read(lines))) == set(ids(read(sorted(lines))))


def test_a_trace_in_no_order_is_read_again_and_loses_and_doubles_nothing():
    early, late = "2023-11-16 18:15:01,1,1", "2023-11-16 18:15:02,1,1"
    items = read([early, "bad", late, early, late, early])
    assert [type(item) for item in items].count(BadRow) == 1
    assert len(set(ids(items))) == 5
    assert ids(items)[:2] == ids(read([early, late]))


def test_a_long_trace_in_no_order_is_refused(monkeypatch):
    monkeypatch.setattr(placing, "UNSORTED_ROWS_MAX", 3)
    lines = [f"2023-11-16 18:15:{second},1,1" for second in (20, 19, 18, 17, 16)]
    with pytest.raises(TraceError, match="sort the trace by time"):
        read(lines)
    assert len(read(sorted(lines))) == 5


@pytest.mark.parametrize(
    ("model", "models", "expected"),
    [
        ("m", {}, ["m", "m", "m"]),
        (None, {}, ["a", "b", "a"]),
        (None, {"a": "x"}, ["x", LeftOut("b"), "x"]),
        ("m", {"a": "x"}, ["x", "m", "x"]),
    ],
)
def test_models_are_mapped(model, models, expected):
    lines = [f"{second},{name},,1,0,0,1,0" for second, name in enumerate("aba")]
    items = read(lines, "servegen", model=model, models=models, start_us=START_US)
    assert [item if isinstance(item, LeftOut) else item.model for item in items] == expected


def test_the_first_row_is_at_the_start_though_it_is_left_out():
    lines = ["5,a,,1,0,0,1,0", "6,b,,1,0,0,1,0"]
    items = read(lines, "servegen", model=None, models={"b": "b"}, start_us=START_US)
    assert items[1].at_us == START_US + 6_000_000


def test_rows_of_models_that_are_not_sold_are_set_aside():
    lines = ["5,a,,1,0,0,1,0", "6,b,,1,0,0,1,0"]
    items = read(lines, "servegen", model=None, start_us=START_US, sells=lambda name: name == "b")
    assert isinstance(items[0], BadRow)
    assert "sells no a" in items[0].reason
    assert items[1].model == "b"


def test_bad_rows_keep_their_line_column_and_text():
    good = "2023-11-16 18:15:46.68,374,44"
    long = good + "4" * LINE_BYTES_MAX
    items = read([good, "", "x,1,1", good, "2023-11-16 18:15:46.68,\udcff,44", long])
    bad = [item for item in items if isinstance(item, BadRow)]
    assert [(row.line, row.column) for row in bad] == [(4, 1), (6, 24), (7, LINE_BYTES_MAX + 1)]
    assert bad[0].text == "x,1,1"
    assert bad[1].text == "2023-11-16 18:15:46.68,\\xff,44"
    assert bad[1].reason == "not UTF-8"
    assert len(ids(items)) == 2


def test_lines_are_counted_from_one_without_a_header():
    (bad,) = read(["{}"], "mooncake", start_us=START_US)
    assert bad.line == 1


@pytest.mark.parametrize("limit", [None, 1, 2047, 2048, 2049, 5000])
def test_an_intake_hands_on_blocks_and_counts_everything(limit):
    lines = [f"{number},a,,2,0,0,3,1" for number in range(4500)]
    lines[1] = "bad"
    lines[2] = "2,b,,2,0,0,3,1"
    items = read(lines, "servegen", model=None, models={"a": "m"}, start_us=START_US)
    blocks, aside = [], []
    done = intake.take(iter(items), blocks.append, aside.append, limit)
    records = [record for block in blocks for record in block]
    expected = [item for item in items if isinstance(item, UsageRecord)][:limit]
    assert records == expected
    assert done.calls == len(expected)
    assert max(map(len, blocks)) <= intake.BLOCK_RECORDS
    assert done.meters == {
        "input_tokens": 2 * done.calls, "output_tokens": 2 * done.calls,
        "reasoning_tokens": done.calls, "requests": done.calls,
    }  # fmt: skip
    assert done.models == {"m": done.calls}
    assert (done.first_us, done.last_us) == (records[0].at_us, records[-1].at_us)
    if limit != 1:
        assert (done.rejected, len(aside), done.left_out) == (1, 1, 1)


def test_an_intake_that_breaks_off_keeps_what_came_before():
    why = "the file is damaged"

    def broken():
        yield from read(["2023-11-16 18:15:46.68,374,44"])
        raise TraceError(why)

    blocks = []
    done = intake.take(broken(), blocks.append, print, None)
    assert [len(block) for block in blocks] == [1]
    assert done.stopped_by == why
    assert done.first_us is not None
    assert str(periods.month_of(done.first_us, "UTC")) == "2023-11"
