"""What each format makes of its rows, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from steelyard.metering.traces import files
from steelyard.metering.traces.formats import FORMATS
from steelyard.metering.traces.rows import COUNT_MAX, Extra, Fault, TraceError
from steelyard.values import periods

DATA = Path(__file__).parents[2] / "data" / "traces"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
SERVEGEN = "t_s,model,client,input_tokens,image_tokens,image_count,output_tokens,reasoning_tokens"


def parser(name: str, header: str = "") -> Callable[[str], Any]:
    return FORMATS[name].parser(header)


def read(name: str, format_name: str) -> list[Any]:
    lines = files.lines(DATA / name, lambda _: None)
    parse = parser(format_name, next(lines) if FORMATS[format_name].header else "")
    return [parse(line) for line in lines if line]


def us(text: str) -> int:
    return periods.to_us(datetime.fromisoformat(text))


def shown(rows: list[Any]) -> list[tuple]:
    assert not [row for row in rows if isinstance(row, Fault)]
    return [(row.at_us, row.model, row.user, row.meters) for row in rows]


def weighed(**meters: int) -> dict[str, int]:
    return meters | {"requests": 1}


def test_azure_times_have_seven_digits_and_are_utcs():
    assert shown(read("azure.csv", "azure"))[:2] == [
        (us("2023-11-16T18:15:46.680590+00:00"), None, None,
         weighed(input_tokens=374, output_tokens=44)),
        (us("2023-11-16T18:15:50.995169+00:00"), None, None,
         weighed(input_tokens=396, output_tokens=109)),
    ]  # fmt: skip


def test_mooncakes_prompts_are_cached_as_far_as_their_blocks_were_seen():
    rows = shown(read("mooncake.jsonl", "mooncake"))
    assert rows[0] == (
        0, None, None, weighed(input_tokens=2290, cached_input_tokens=0, output_tokens=316),
    )  # fmt: skip
    assert rows[1] == (
        3_000_000, None, None,
        weighed(input_tokens=1500, cached_input_tokens=512, output_tokens=354),
    )  # fmt: skip


def test_servegens_images_are_read_as_input_and_its_output_holds_the_reasoning():
    rows = shown(read("servegen.csv", "servegen"))
    assert rows[0] == (
        49_000, "deepseek-r1", "35",
        weighed(input_tokens=27, output_tokens=229, reasoning_tokens=1133),
    )  # fmt: skip
    assert rows[3] == (
        157_000, "mm-image", "11",
        weighed(input_tokens=475, output_tokens=82, reasoning_tokens=0, images=1),
    )  # fmt: skip


def test_bailians_blocks_have_sixteen_tokens_and_a_prompt_is_never_cached_beyond_its_end():
    rows = read("qwen-bailian.jsonl", "qwen-bailian")
    assert [
        (at_us, meters["input_tokens"], meters["cached_input_tokens"], meters["output_tokens"])
        for at_us, _, _, meters in shown(rows)
    ] == [
        (0, 40, 0, 21),
        (61_000, 17, 16, 5),
        (61_114_000, 22, 48, 132),
        (61_500_000, 0, 45, 9),  # three blocks are 48 tokens, of which it has 45
    ]


def test_our_own_table_names_its_columns():
    assert shown(read("own.csv", "csv")) == [
        (us("2026-11-02T01:00:00+00:00"), "qwen3-max", "alice",
         weighed(input_tokens=100, cached_input_tokens=900, output_tokens=20)),
        (us("2026-11-02T01:00:00.250000+00:00"), "glm-4.6", "Bob, the second",
         weighed(input_tokens=5, output_tokens=0, images=2)),
        (us("2026-11-02T01:00:01+00:00"), "qwen3-max", None,
         weighed(input_tokens=7, cached_input_tokens=0, output_tokens=1, images=0)),
    ]  # fmt: skip


def test_a_table_says_how_many_requests_a_row_is_if_it_has_the_column():
    parse = parser("csv", "requests,timestamp")
    assert parse("12,2026-11-02").meters == {"requests": 12}
    assert parse(",2026-11-02").meters == {}


def test_a_table_says_what_prices_depend_on():
    parse = parser("csv", "timestamp,service_tier,region,mode,seconds,output_tokens")
    row = parse("2026-11-02,batch,cn-hangzhou,thinking,61.5,7")
    assert row.extra == Extra("batch", "cn-hangzhou", "thinking", 61_500_000)
    unsaid = parse("2026-11-02,,,,,7")
    assert unsaid.extra == Extra()
    assert unsaid.content == parser("csv", "timestamp,output_tokens")("2026-11-02,7").content


BAD = [
    # format, line, column, what the reason says
    ("azure", "2023-11-16 18:15:46.68,374", 27, "GeneratedTokens is missing"),
    ("azure", "2023-11-16 18:15:46.68,374,44,1", 31, "4 fields, where the header names 3"),
    ("azure", "2023-11-16 18:15:46.68,-374,44", 24, "ContextTokens is '-374'"),
    ("azure", "2023-11-16 18:15:46.68,374,4.5", 28, "GeneratedTokens is '4.5'"),
    ("azure", "2023-11-16 18:15:46.68,374,", 28, "GeneratedTokens is ''"),
    ("azure", "2023-11-16 18:15:46.68,١٢,44", 24, "ContextTokens is '١٢'"),
    ("azure", "2023-11-16 18:15:46.68,1234567890123456,4", 24, "expected a whole number"),
    ("azure", "2023-11-31 18:15:46.68,374,44", 1, "TIMESTAMP is '2023-11-31 18:15:46.68'"),
    ("azure", ",374,44", 1, "TIMESTAMP is ''"),
    ("azure", "nonsense", 1 + len("nonsense"), "ContextTokens is missing"),
    ("servegen", "1.5,m,7,1,2,3,4", 16, "reasoning_tokens is missing"),
    ("servegen", "1.5,m,7,1,2,3,4,5", 17, "reasoning_tokens is 5, which is more than all"),
    ("servegen", "1e5,m,7,1,2,3,4,1", 1, "t_s is '1e5'"),
    ("servegen", "-1,m,7,1,2,3,4,1", 1, "t_s is '-1'"),
    ("servegen", "1.5,,7,1,2,3,4,1", 5, "model is ''"),
    ("servegen", "1.5,m," + "x" * 201 + ",1,2,3,4,1", 7, "at most 200 characters"),
    ("servegen", "1.5,m,7,1,2,3,4,1 ", 17, "reasoning_tokens is '1 '"),
    ("mooncake", '{"timestamp": 1, "input_length": 2', 35, "truncated"),
    ("mooncake", '{"timestamp": 1, x', 18, "malformed"),
    ("mooncake", '{"timestamp": "1", "input_length": 2, "output_length": 3, "hash_ids": []}', 2,
     "Expected `int`, got `str`"),
    ("mooncake", '{"timestamp": 1, "input_length": -2, "output_length": 3, "hash_ids": []}', 18,
     "`int` >= 0"),
    ("mooncake", '{"timestamp": 1, "input_length": 2, "output_length": 3}', 1, "hash_ids"),
    ("mooncake", "[]", 1, "Expected `object`"),
    ("mooncake", '{"timestamp": 1, "input_length": 2, "output_length": 3, "hash_ids": ["a"]}', 57,
     "Expected `int`"),
    ("qwen-bailian", '{"timestamp": null, "input_length": 1, "output_length": 1, "hash_ids": []}',
     2, "Expected `float`"),
    ("csv", "yesterday,m,,1,0,0,", 1, "timestamp is 'yesterday'"),
    ("csv", "2026-11-02,m,,1,0,", 19, "6 fields, where the header names 7"),
    ("csv", "2026-11-02,m,,1,0,0,,,", 22, "9 fields, where the header names 7"),
    ("csv", '2026-11-02,"m,n",,1,x,0,', 21, "cached_input_tokens is 'x'"),
    ("csv", '2026-11-02,"m,n,,1,0,0,', 12, "does not end on its line"),
    ("csv", "2026-11-02," + "m" * 201 + ",,1,0,0,", 12, "model has more than 200"),
    ("csv", "2026-11-02,m,,1_000,0,0,", 15, "input_tokens is '1_000'"),
]  # fmt: skip
HEADERS = {
    "azure": AZURE,
    "servegen": SERVEGEN,
    "csv": "timestamp,model,user,input_tokens,cached_input_tokens,output_tokens,images",
}


@pytest.mark.parametrize(("name", "line", "column", "reason"), BAD)
def test_a_bad_row_has_its_column_and_reason(name, line, column, reason):
    found = parser(name, HEADERS.get(name, ""))(line)
    assert isinstance(found, Fault)
    assert reason in found.reason
    assert found.column == column


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("2026-11-02,bulk,1", 12, "service_tier is 'bulk'; expected standard, priority, flex"),
        ("2026-11-02,batch,1s", 18, "seconds is '1s'"),
    ],
)
def test_a_word_that_prices_depend_on_is_a_known_one(line, column, reason):
    found = parser("csv", "timestamp,service_tier,seconds")(line)
    assert isinstance(found, Fault)
    assert (found.column, found.reason[: len(reason)]) == (column, reason)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("azure", ""),
        ("azure", "TIMESTAMP,ContextTokens"),
        ("servegen", AZURE),
        ("csv", "input_tokens,output_tokens"),
        ("csv", "timestamp,tokens"),
        ("csv", "timestamp,input_tokens,input_tokens"),
        ("csv", 'timestamp,"model'),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_header(name, header):
    with pytest.raises(TraceError, match="line 1"):
        parser(name, header)


def test_a_bad_row_marks_no_blocks_as_seen():
    parse = parser("mooncake")
    assert isinstance(parse('{"timestamp": 1, "hash_ids": [1]}'), Fault)
    line = '{"timestamp": 1, "input_length": 600, "output_length": 3, "hash_ids": [1, 2]}'
    assert parse(line).meters["cached_input_tokens"] == 0
    assert parse(line).meters["cached_input_tokens"] == 600


def test_the_largest_count_is_read():
    row = parser("azure", AZURE)(f"2023-11-16 18:15:46,{COUNT_MAX},0")
    assert row.meters["input_tokens"] == COUNT_MAX
