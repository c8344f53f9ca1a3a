"""Affinity: prompts go where their beginning was before, and nobody gets too many."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.dispatch import affinity
from steelyard.dispatch.affinity import CHUNK_BYTES, CHUNKS_MAX, Prefixes

FOUR = ["a", "b", "c", "d"]
NO_LOAD, ALIKE = [0, 0, 0, 0], [1, 1, 1, 1]


def chunks(text: str) -> list[bytes]:
    """A chunk a letter, each named by all before it."""
    return [affinity.hashed(text[: end + 1].encode()) for end in range(len(text))]


def first(prefixes, text, loads=NO_LOAD):
    return FOUR[affinity.order(prefixes, chunks(text), FOUR, loads, ALIKE)[0]]


def test_the_longest_known_part_decides():
    known = Prefixes()
    known.remember(chunks("sys-one"), "b")
    known.remember(chunks("sys-two-longer"), "d")
    assert known.had(chunks("sys-two"), FOUR) == [0, 4, 0, 7]
    assert first(known, "sys-one and more") == "b"
    assert first(known, "sys-two-lo") == "d"


def test_a_deployment_without_room_is_asked_last():
    known = Prefixes()
    known.remember(chunks("conversation"), "b")
    assert first(known, "conversation", [5, 6, 5, 5]) == "b"
    assert first(known, "conversation", [5, 9, 5, 5]) != "b"
    order = affinity.order(known, chunks("conversation"), FOUR, [5, 9, 5, 5], ALIKE)
    assert FOUR[order[-1]] == "b"


def test_a_new_prompt_goes_where_its_name_says_in_every_worker():
    homes = {text: first(Prefixes(), text) for text in map(str, range(100))}
    assert homes == {text: first(Prefixes(), text) for text in homes}
    assert set(homes.values()) == set(FOUR)


def test_of_the_few_that_a_name_says_the_one_with_the_least_to_do_gets_it():
    for text in map(str, range(50)):
        order = [FOUR[place] for place in affinity.by_name(chunks(text)[0], FOUR)]
        busy = [10, 10, 10, 10]
        busy[FOUR.index(order[2])] = 9
        busy[FOUR.index(order[3])] = 8
        assert first(Prefixes(), text, busy) == order[2]


def test_when_a_deployment_goes_away_only_its_own_go_elsewhere():
    names = [affinity.hashed(bytes([number])) for number in range(200)]
    three = FOUR[:3]
    for name in names:
        before = FOUR[affinity.by_name(name, FOUR)[0]]
        after = three[affinity.by_name(name, three)[0]]
        assert before in {after, "d"}


def test_what_is_remembered_is_bounded_and_the_least_recent_goes():
    known = Prefixes(known_max=20)
    known.remember(chunks("abcdefgh"), "a")
    known.remember(chunks("ABCDEFGH"), "b")
    known.remember(chunks("abcdefgh"), "a")
    known.remember(chunks("01234567"), "c")
    assert len(known) == 20
    assert known.had(chunks("abcdefgh"), FOUR)[0] == 8
    assert known.had(chunks("ABCDEFGH"), FOUR)[1] == 4


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=8).flatmap(
        lambda loads: st.tuples(
            st.just(loads),
            st.lists(st.integers(1, 9), min_size=len(loads), max_size=len(loads)),
        )
    ),
    st.text("ab", min_size=1, max_size=6),
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=6), st.integers(0, 7)), max_size=6),
)
def test_nobody_gets_more_than_its_bound(sizes, prompt, before):
    loads, weights = sizes
    names = [f"d{place}" for place in range(len(loads))]
    known = Prefixes()
    for text, place in before:
        known.remember(chunks(text), names[place % len(names)])
    order = affinity.order(known, chunks(prompt), names, loads, weights)
    assert sorted(order) == list(range(len(loads)))
    chosen = order[0]
    assert loads[chosen] + 1 < (sum(loads) + 1) * weights[chosen] * 1.25 / sum(weights) + 1


def named(session=None, customer="acme", **fields):
    raw = {name: msgspec.Raw(text.encode()) for name, text in fields.items()}
    return affinity.chunks_of(raw, session, customer)


LONG = "x" * (3 * CHUNK_BYTES)


def test_a_longer_prompt_has_the_chunks_of_its_beginning():
    short, longer = named(messages=LONG), named(messages=LONG + "y" * CHUNK_BYTES)
    assert len(short) == 3
    assert longer[:3] == short
    assert len(longer) == 4
    assert len(set(longer)) == 4


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"messages": "z" + LONG[1:]}, False),
        ({"messages": LONG, "tools": "[]"}, False),
        ({"messages": LONG, "temperature": "1"}, True),
        ({"messages": LONG, "prompt_cache_key": "null"}, True),
        ({"messages": LONG, "customer": "globex"}, True),
    ],
)
def test_what_a_prompt_is_named_by(other, same):
    assert (named(**other) == named(messages=LONG)) is same


def test_a_session_or_a_key_of_the_callers_is_all_that_counts_and_its_customers_own():
    assert named("s", messages="a") == named("s", messages="b")
    assert named(messages="a", prompt_cache_key='"k"') == named(
        messages="b", prompt_cache_key='"k"'
    )
    assert named("s", messages="a") != named("s", messages="a", customer="globex")
    assert len(named("s", messages=LONG)) == 1


def test_only_the_beginning_of_a_very_long_prompt_is_looked_at():
    assert len(named(messages="x" * (CHUNKS_MAX + 10) * CHUNK_BYTES)) == CHUNKS_MAX
    assert len(named(messages="")) == 1
