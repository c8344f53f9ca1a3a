"""What vendors tell is made disjoint: no token in two meters, none below zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.metering.usage import openai_usage


def details(**counts: object) -> dict[str, object]:
    return {"prompt_tokens_details": counts}


def thought(**counts: object) -> dict[str, object]:
    return {"completion_tokens_details": counts}


CASES = [
    # vendor, what it tells, (input, cached, written, output, reasoning), what does not add up
    ("openai", {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, (9, 12), ()),
    (
        "openai, cached",
        {
            "prompt_tokens": 1207,
            "completion_tokens": 9,
            "total_tokens": 1216,
            **details(cached_tokens=1024, audio_tokens=0),
            **thought(reasoning_tokens=0, audio_tokens=0, rejected_prediction_tokens=0),
        },
        (183, 1024, None, 9, 0),
        (),
    ),
    (
        "openai, audio and images cached with the rest",
        {
            "prompt_tokens": 500,
            "completion_tokens": 70,
            **details(cached_tokens=300, audio_tokens=200, image_tokens=100, text_tokens=200),
            **thought(reasoning_tokens=30, audio_tokens=40, text_tokens=0),
        },
        (200, 300, None, 40, 30),
        (),
    ),
    (
        "deepseek",
        {
            "prompt_tokens": 530,
            "completion_tokens": 47,
            "total_tokens": 577,
            "prompt_cache_hit_tokens": 512,
            "prompt_cache_miss_tokens": 18,
            **details(cached_tokens=512),
            **thought(reasoning_tokens=38),
        },
        (18, 512, None, 9, 38),
        (),
    ),
    (
        "deepseek, before it had details",
        {"prompt_tokens": 530, "completion_tokens": 47, "prompt_cache_hit_tokens": 0},
        (530, 0, None, 47, None),
        (),
    ),
    (
        "dashscope, explicit cache written",
        {
            "prompt_tokens": 3019,
            "completion_tokens": 104,
            "total_tokens": 3123,
            **details(cached_tokens=0, cache_creation_input_tokens=1792, cache_type="ephemeral"),
        },
        (1227, 0, 1792, 104, None),
        (),
    ),
    (
        "moonshot",
        {"prompt_tokens": 78, "completion_tokens": 3, "total_tokens": 81, "cached_tokens": 64},
        (14, 64, None, 3, None),
        (),
    ),
    (
        "minimax",
        {
            "total_tokens": 249,
            "total_characters": 0,
            "prompt_tokens": 26,
            "completion_tokens": 223,
            **thought(reasoning_tokens=214),
        },
        (26, None, None, 9, 214),
        (),
    ),
    (
        "xai: reasoning beside the completion",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            **thought(reasoning_tokens=94),
        },
        (32, None, None, 9, 94),
        (),
    ),
    (
        "sglang: details are null, reasoning on top",
        {
            "prompt_tokens": 41,
            "total_tokens": 99,
            "completion_tokens": 58,
            "prompt_tokens_details": None,
            "reasoning_tokens": 0,
        },
        (41, None, None, 58, 0),
        (),
    ),
    ("an embedding", {"prompt_tokens": 8, "total_tokens": 8}, (8,), ()),
    ("zeros", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, 0), ()),
    ("whole floats", {"prompt_tokens": 9.0, "completion_tokens": 2.0}, (9, 2), ()),
    ("nothing", {}, (), ()),
    (
        "more cached than read",
        {"prompt_tokens": 100, "completion_tokens": 1, **details(cached_tokens=120)},
        (0, 100, None, 1, None),
        ("cached_input_tokens_exceed_prompt",),
    ),
    (
        "more cached and written than read",
        {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            **details(cached_tokens=80, cache_write_tokens=30),
        },
        (0, 80, 20, 1, None),
        ("cache_write_tokens_exceed_prompt",),
    ),
    (
        "more thought than said",
        {"prompt_tokens": 1, "completion_tokens": 10, **thought(reasoning_tokens=11)},
        (1, None, None, 0, 10),
        ("reasoning_tokens_exceed_completion",),
    ),
    (
        "only a total",
        {"prompt_tokens": 10, "total_tokens": 25},
        (10, 15),
        ("completion_tokens_missing",),
    ),
    (
        "a total of its own",
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99},
        (10, 5),
        ("total_tokens_differ",),
    ),
    (
        "nonsense",
        {"prompt_tokens": -1, "completion_tokens": "12", "total_tokens": True},
        (),
        ("total_tokens_invalid", "prompt_tokens_invalid", "completion_tokens_invalid"),
    ),
]
FIELDS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@pytest.mark.parametrize(("vendor", "told", "meters", "faults"), CASES)
def test_what_a_vendor_tells_is_made_disjoint(vendor, told, meters, faults):
    fields = FIELDS if len(meters) > 2 else ("input_tokens", "output_tokens")
    expected = {
        field: count for field, count in zip(fields, meters, strict=False) if count is not None
    }
    found = openai_usage(told)
    assert found.meters == expected
    assert found.faults == faults


COUNTS = (
    st.none() | st.integers(-5, 2**54) | st.floats() | st.sampled_from(["", "12"]) | st.booleans()
)


@given(
    st.dictionaries(
        st.sampled_from(
            "prompt_tokens completion_tokens total_tokens cached_tokens reasoning_tokens "
            "prompt_cache_hit_tokens".split()
        ),
        COUNTS,
    ),
    st.none()
    | st.dictionaries(st.sampled_from(["cached_tokens", "cache_creation_input_tokens"]), COUNTS),
    st.none() | st.dictionaries(st.just("reasoning_tokens"), COUNTS),
)
def test_nothing_is_negative_or_counted_twice(usage, prompt, completion):
    meters = openai_usage(
        {**usage, "prompt_tokens_details": prompt, "completion_tokens_details": completion}
    ).meters
    assert all(type(count) is int and count >= 0 for count in meters.values())
    if "input_tokens" in meters:
        parts = FIELDS[:3]
        assert sum(meters.get(part, 0) for part in parts) == int(usage["prompt_tokens"])
