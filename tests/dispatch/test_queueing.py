"""Whose call goes next: by priority, then customers in turn, as often as they weigh."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.dispatch.queueing import Line


def anybody(_: object) -> bool:
    return True


def emptied(line: Line[str]) -> str:
    gone = []
    while (who := line.next(anybody)) is not None:
        gone.append(who)
    return " ".join(gone)


ORDERS = [
    # who joins, as name[:weight][!priority], and who goes
    ("a a a", "a a a"),
    ("a a a b", "a b a a"),
    ("a a a a b b", "a b a b a a"),
    ("a a b b c c", "a b c a b c"),
    ("a a a a b:2 b:2 b:2 b:2", "b a b b a b a a"),
    ("a a a a a a b:3 b:3 b:3", "b b a b a a a a a"),
    ("a a b!1", "b a a"),
    ("a a!2 b!1 b!1 c!2", "c a b b a"),
]


@pytest.mark.parametrize(("joins", "goes"), ORDERS)
def test_customers_go_in_turn(joins, goes):
    line: Line[str] = Line()
    for each in joins.split():
        name, _, priority = each.partition("!")
        name, _, weight = name.partition(":")
        line.join(name, name, int(weight or 1), int(priority or 0))
    assert emptied(line) == goes


def test_one_that_was_away_has_saved_nothing_up():
    line: Line[str] = Line()
    for _ in range(10):
        line.join("a", "a")
    line.join("b", "b")
    assert [line.next(anybody) for _ in range(8)].count("b") == 1
    for _ in range(4):
        line.join("b", "b")
    assert emptied(line) in {"a b a b a b b", "b a b a b a b", "a b a b a b b b"}


def test_whoever_leaves_is_not_called():
    line: Line[str] = Line()
    numbers = {name: line.join(name, name) for name in "abc"}
    line.leave(numbers["b"])
    line.leave(numbers["b"])
    assert len(line) == 2
    assert emptied(line) == "a c"
    line.leave(numbers["a"])
    assert len(line) == 0


def test_the_first_who_may_go_goes():
    line: Line[str] = Line()
    for name in "abc":
        line.join(name, name)
    assert line.next(lambda who: who != "a") == "b"
    assert line.next(lambda who: who == "z") is None
    assert emptied(line) == "a c"


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=200),
    st.fixed_dictionaries({name: st.integers(1, 5) for name in "abcd"}),
)
def test_while_two_wait_each_goes_as_often_as_it_weighs(steps, weights):
    """Whatever the others do: of two that always wait, none gets ahead by more than its turn."""
    line: Line[str] = Line()
    for name in "ab":
        for _ in range(len(steps) + 1):
            line.join(name, name, weights[name])
    went: Counter[str] = Counter()
    for name, joins in steps:
        if joins and name in "cd":
            line.join(name, name, weights[name])
        else:
            went[line.next(anybody) or ""] += 1
    fair_a, fair_b = went["a"] * weights["b"], went["b"] * weights["a"]
    assert abs(fair_a - fair_b) <= weights["a"] + weights["b"]
