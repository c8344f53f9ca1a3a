"""The upstream's word first, then the tokenizer's, then an estimate; delivered is charged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from steelyard.metering.answers import Reading, Texts
from steelyard.metering.weigh import MESSAGE_TOKENS, Weighed, prompt_tokens, weigh
from steelyard.values.usage import Source


class Words:
    """A tokenizer whose tokens are words."""

    def count(self, text: str) -> int:
        return len(text.split())


def read(**given: Any) -> Reading:
    """What an answer said; a whole one that told nothing, unless given otherwise."""
    plain: dict[str, Any] = {
        "usage": None,
        "done": True,
        "finished": True,
        "error": None,
        "chunks": 1,
        "upstream_id": None,
        "produced": None,
        "delivered": None,
    }
    return Reading(**{**plain, **given})


def asked(**fields: object) -> dict[str, Raw]:
    """A request's body, each field as it was written."""
    return {name: Raw(msgspec.json.encode(value)) for name, value in fields.items()}


ASKED = asked(messages=[{"role": "user", "content": "one two three four five six"}])
"""27 bytes in 6 words: 4 + 7 tokens by estimate, 4 + 6 by words."""

USAGE = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}
THINKING = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 12}}
UPSTREAM: dict[str, Source] = {"input_tokens": "upstream", "output_tokens": "upstream"}


def test_the_upstreams_word_is_taken():
    found = weigh(read(usage=USAGE), ASKED, Words())
    assert found == Weighed({"input_tokens": 30, "output_tokens": 20}, UPSTREAM)


def test_what_the_upstream_does_not_add_up_is_told():
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 31}}
    found = weigh(read(usage=usage), ASKED)
    assert found.meters == {"input_tokens": 0, "cached_input_tokens": 30, "output_tokens": 20}
    assert found.faults == ("cached_input_tokens_exceed_prompt",)


NEVER = [
    # who counts, texts, (input, output, reasoning), source
    (Words(), Texts("a b c"), (10, 3, None), "counted"),
    (None, Texts("a b c"), (11, 2, None), "estimated"),
    (None, Texts("你好"), (11, 2, None), "estimated"),
    (Words(), Texts("a b", "x y z"), (10, 2, 3), "counted"),
    (Words(), Texts("", "x y z"), (10, 0, 3), "counted"),
    (Words(), Texts("a b", more_bytes=9), (10, 5, None), "counted"),
    (Words(), Texts(""), (10, None, None), "counted"),
]


@pytest.mark.parametrize(("counter", "texts", "meters", "source"), NEVER)
def test_what_is_never_told_is_counted_and_marked(counter, texts, meters, source):
    found = weigh(read(produced=texts), ASKED, counter)
    names = ("input_tokens", "output_tokens", "reasoning_tokens")
    expected = {name: count for name, count in zip(names, meters, strict=True) if count is not None}
    assert (found.meters, found.sources) == (expected, dict.fromkeys(expected, source))
    assert found.produced is None


def test_half_of_it_told_is_half_of_it_counted():
    found = weigh(read(usage={"completion_tokens": 4}), ASKED, Words())
    assert found.meters == {"output_tokens": 4, "input_tokens": 10}
    assert found.sources == {"output_tokens": "upstream", "input_tokens": "counted"}


def test_an_embedding_has_no_output():
    reading = read(usage={"prompt_tokens": 8, "total_tokens": 8})
    assert weigh(reading, asked(input="x")).meters == {"input_tokens": 8}
    reading = read(produced=Texts(""))
    assert weigh(reading, asked(input=["one two", "three"]), Words()).meters == {"input_tokens": 3}


CUT = [
    # what was told, who counts, all that came, what was delivered, charged (output, reasoning)
    ("half, by bytes", USAGE, None, Texts("aaaabbbb"), Texts("aaaa"), (10, None)),
    ("half, by words", USAGE, Words(), Texts("a b c d"), Texts("a b"), (2, None)),
    ("never more than all", USAGE, Words(), Texts("a " * 50), Texts("a " * 40), (20, None)),
    ("nothing", USAGE, None, Texts("aaaa"), Texts(""), (0, None)),
    ("a third, rounded down", USAGE, None, Texts("aaa"), Texts("a"), (6, None)),
    ("thinking cut", THINKING, None, Texts("said", "thought!"), Texts("", "thou"), (0, 6)),
    ("thinking whole", THINKING, None, Texts("said", "thought!"), Texts("sa", "thought!"), (4, 12)),
    ("thinking kept secret", THINKING, None, Texts("said"), Texts("sa"), (4, 12)),
    ("secret, and nothing said", THINKING, None, Texts("said"), Texts(""), (0, 0)),
    ("thinking told as output", USAGE, None, Texts("said", "said"), Texts("", "said"), (10, None)),
    ("text beyond the kept", USAGE, None, Texts("said", "", 4), Texts("said"), (10, None)),
]


@pytest.mark.parametrize(("what", "usage", "counter", "produced", "delivered", "charged"), CUT)
def test_what_was_delivered_is_charged_and_the_rest_is_cost(
    what, usage, counter, produced, delivered, charged
):
    found = weigh(read(usage=usage, produced=produced, delivered=delivered), ASKED, counter)
    whole = weigh(read(usage=usage), ASKED)
    assert found.produced == whole.meters
    output, reasoning = charged
    expected = {"input_tokens": 30, "output_tokens": output}
    if reasoning is not None:
        expected["reasoning_tokens"] = reasoning
    assert found.meters == expected
    for meter, units in expected.items():
        same = units == whole.meters[meter]
        counted = "estimated" if counter is None else "counted"
        assert found.sources[meter] == ("upstream" if same else counted)


def test_a_cut_answer_that_told_nothing_is_counted_twice():
    reading = read(produced=Texts("a b c d"), delivered=Texts("a b"))
    found = weigh(reading, ASKED, Words())
    assert found.meters == {"input_tokens": 10, "output_tokens": 2}
    assert found.produced == {"input_tokens": 10, "output_tokens": 4}


@given(
    prompt=st.integers(0, 1000),
    cached=st.none() | st.integers(0, 1000),
    completion=st.integers(0, 1000),
    reasoning=st.none() | st.integers(0, 1000),
    output=st.text("aé中 ", max_size=30),
    thought=st.text("aé中 ", max_size=30),
    cut=st.integers(0, 60),
    counter=st.sampled_from([None, Words()]),
)
def test_delivered_is_never_more_than_produced(
    prompt, cached, completion, reasoning, output, thought, cut, counter
):
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    delivered = Texts(output[: max(0, cut - len(thought))], thought[:cut])
    reading = read(usage=usage, produced=Texts(output, thought), delivered=delivered)
    found = weigh(reading, ASKED, counter)
    assert found.produced is not None
    assert found.meters.keys() == found.produced.keys()
    assert all(0 <= found.meters[name] <= found.produced[name] for name in found.meters)


PROMPTS = [
    # the request, tokens by words, what a template adds
    (asked(messages=[{"role": "user", "content": "one two"}]), 2, 1),
    (
        asked(
            messages=[
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": 'one "two" 三'}]},
            ]
        ),
        5,
        2,
    ),
    (
        asked(
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:abc def"}}],
                }
            ]
        ),
        0,
        1,
    ),
    (
        asked(
            messages=[
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}],
                }
            ],
            tools=[{"a": "b c"}],
        ),
        4,
        1,
    ),
    (asked(prompt="one two"), 2, 0),
    (asked(prompt=["one two", "three"]), 3, 0),
    (asked(input=[1, 2, 3, 4]), 4, 0),
    (asked(input=[[1, 2], [3]]), 3, 0),
    (asked(input={"a": 1}), 0, 0),
    (asked(model="x"), 0, 0),
]


@pytest.mark.parametrize(("request_", "words", "messages"), PROMPTS)
def test_a_prompt_is_its_texts_and_what_is_around_them(request_, words, messages):
    assert prompt_tokens(request_, Words()) == words + messages * MESSAGE_TOKENS


def test_a_prompt_that_nobody_can_read_is_estimated():
    assert prompt_tokens({"input": Raw(b'"\\ud800 and more"')}, Words()) == 5
    assert prompt_tokens({"input": Raw(b"[" * 5000 + b"]" * 5000)}) == 2500
