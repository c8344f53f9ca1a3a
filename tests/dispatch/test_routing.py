"""Routing: in which order deployments are asked, by each strategy."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue import offers
from steelyard.catalogue.documents import CostRule, PriceRule
from steelyard.catalogue.routes import Part, Route
from steelyard.dispatch import routing
from steelyard.dispatch.routing import Memory, View
from steelyard.dispatch.snapshot import Choice
from steelyard.dispatch.vitals import STALE_US, Vitals
from tests.dispatch.studio import deployment
from tests.rating.documents import contract, edition, flat, rates

OFFER = offers.timeline(
    edition(contract(PriceRule(model="m", tariff=flat(input_tokens="1")))), "acme-2026", "m", "a"
)[0]
NAME = b"n"


def choice(name: str, *, costs: str = "0", **fields) -> Choice:
    rule = CostRule(component="compute", earner="grid", rates=rates(input_tokens=costs))
    place = msgspec.structs.replace(deployment(name, "m"), **fields)
    return Choice(place, msgspec.structs.replace(OFFER, costs=(rule,)))


def view(vitals=None, now_us=0, output=100, chunks=(b"c",)) -> View:
    return View(
        vitals=vitals or {}, now_us=now_us, input_tokens=1000, output_tokens=output, chunks=chunks
    )


def names(choices) -> str:
    return " ".join(each.deployment.id for each in choices)


def ordered(strategy, choices, seen=None, **route):
    route = Route(model="m", strategy=strategy, **route)
    return names(routing.order(choices, route, seen or view(), Memory(), NAME))


def busy(**in_flight) -> View:
    return view({name: Vitals(in_flight=count) for name, count in in_flight.items()})


def measured(now_us=0, output=100, **first_and_per_token_us) -> View:
    vitals = {}
    for name, (first_us, per_token_us) in first_and_per_token_us.items():
        vitals[name] = Vitals(first_token_us=first_us, per_token_us=per_token_us)
    return view(vitals, now_us, output)


A, B, C = (choice(name) for name in "abc")
TABLE = [
    # strategy, choices, what was seen, the order
    ("weighted", [A, B, C], None, "a b c"),
    ("weighted", [A, choice("b", weight=5), C], None, "b a c"),
    ("weighted", [choice("a", weight=0), B], None, "b a"),
    ("price", [choice("a", costs="3"), choice("b", costs="1"), choice("c", costs="2")], None,
     "b c a"),
    ("price", [choice("a", costs="1"), choice("b", costs="1", weight=2)], None, "b a"),
    ("latency", [A, B, C], measured(a=(300, 1), b=(100, 1), c=(200, 1)), "b c a"),
    ("latency", [A, B], measured(output=1000, a=(300, 1), b=(100, 2)), "a b"),
    ("latency", [A, B], measured(output=10, a=(300, 1), b=(100, 2)), "b a"),
    ("latency", [A, B, C], measured(a=(300, 1), b=(100, 1)), "c b a"),
    ("latency", [A, B], measured(now_us=STALE_US + 1, a=(300, 1), b=(100, 1)), "a b"),
    ("load", [A, B, C], busy(a=3, b=1, c=2), "b c a"),
    ("load", [choice("a", weight=4), B], busy(a=3, b=1), "a b"),
    ("load", [choice("a", capacity=100), choice("b", capacity=10)], busy(a=20, b=3), "a b"),
    ("load", [choice("a", capacity=100), B], busy(a=20, b=3), "b a"),
    ("weighted", [choice("a", capacity=2), B], busy(a=2), "b a"),
    ("price", [choice("a", costs="1", capacity=1), choice("b", costs="2")], busy(a=1), "b a"),
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "choices", "seen", "order"), TABLE)
def test_the_order(strategy, choices, seen, order):
    assert ordered(strategy, choices, seen) == order


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_turns_are_as_often_as_they_weigh_and_spread(weights):
    choices = [choice(f"d{place}", weight=weight) for place, weight in enumerate(weights)]
    memory, rounds = Memory(), 3
    turns = [
        routing.order(choices, Route(model="m"), view(), memory, NAME)[0].deployment.id
        for _ in range(rounds * sum(weights))
    ]
    found = Counter(turns)
    assert [found[each.deployment.id] for each in choices] == [rounds * each for each in weights]
    one_round = turns[: sum(weights)]
    assert Counter(one_round) == {f"d{place}": weight for place, weight in enumerate(weights)}


def test_affinity_stays_with_who_has_the_prefix():
    memory, route = Memory(), Route(model="m", strategy="affinity")
    seen = view(chunks=[b"one", b"two", b"three"])
    memory.prefixes.remember(seen.chunks, "c")
    assert names(routing.order([A, B, C], route, seen, memory, NAME))[0] == "c"


def share(percent: int) -> Part:
    return Part(deployment="c", share_ppm=percent * 10_000)


def test_a_canary_gets_its_share_and_no_other_calls():
    route = Route(model="m", canary=share(20))
    firsts: Counter[str] = Counter()
    for number in range(2000):
        order = routing.order([A, B, C], route, view(), Memory(), str(number).encode())
        ids = [each.deployment.id for each in order]
        firsts[ids[0]] += 1
        assert ("c" in ids) is (ids[0] == "c")
        assert set(ids) >= {"a", "b"}
    assert 350 < firsts["c"] < 450


def test_a_canary_alone_gets_all():
    assert ordered("weighted", [C], canary=share(0)) == "c"


@pytest.mark.parametrize(("percent", "has"), [(0, False), (100, True)])
def test_none_and_all_are_shares_too(percent, has):
    assert all(routing.has_share(share(percent), bytes([name])) is has for name in range(100))


@given(st.binary(max_size=8))
def test_whoever_is_in_a_share_is_in_every_larger_one(name):
    found = [routing.has_share(share(percent), name) for percent in range(0, 101, 5)]
    assert found == sorted(found)
