"""Routing: in which order the deployments that may answer a call are asked.

Every strategy is a function of one signature; ``order`` adds what holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from steelyard.catalogue.routes import Part, Route, Strategy
from steelyard.dispatch import affinity
from steelyard.dispatch.affinity import Prefixes
from steelyard.dispatch.snapshot import Choice
from steelyard.dispatch.vitals import Vitals
from steelyard.values.money import PER_MILLION

_DIGEST_BYTES = 8


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy looks at beside the choices.

    ``vitals`` are by deployment. ``chunks`` name the prompt's beginning. The tokens are expected
    ones. Unit: ``now_us`` monotonic µs.
    """

    vitals: Mapping[str, Vitals]
    now_us: int
    input_tokens: int
    output_tokens: int
    chunks: Sequence[bytes]


class Memory:
    """What strategies remember between calls: whose turn it is, and who has had which prefix."""

    def __init__(self) -> None:
        self.turns: dict[str, dict[str, int]] = {}
        self.prefixes = Prefixes()


Rank = Callable[[Sequence[Choice], View, Memory], list[Choice]]


def turn(current: dict[str, int], weights: Sequence[tuple[str, int]]) -> list[str]:
    """Whose turn it is, then whose it would be: in the long run as often as it weighs, and spread.

    Source: nginx's smooth weighted round robin; ``current`` is its state.
    """
    for name, weight in weights:
        current[name] = current.get(name, 0) + weight
    ordered = sorted((name for name, _ in weights), key=lambda name: -current[name])
    current[ordered[0]] -= sum(weight for _, weight in weights)
    return ordered


def by_weight(choices: Sequence[Choice], _view: View, memory: Memory) -> list[Choice]:
    """Each as often as it weighs."""
    if len(choices) == 1:
        return list(choices)
    current = memory.turns.setdefault(choices[0].deployment.model, {})
    named = {each.deployment.id: each for each in choices}
    weights = [(each.deployment.id, each.deployment.weight) for each in choices]
    return [named[name] for name in turn(current, weights)]


def by_price(choices: Sequence[Choice], view: View, memory: Memory) -> list[Choice]:
    """The one where the call costs us least; equals as they weigh."""
    expected = {"input_tokens": view.input_tokens, "output_tokens": view.output_tokens}

    def cost_pico(choice: Choice) -> int:
        prices = [rule.rates.prices for rule in choice.offer.costs]
        return sum(
            each.get(meter, 0) * units for each in prices for meter, units in expected.items()
        )

    return sorted(by_weight(choices, view, memory), key=cost_pico)


def by_latency(choices: Sequence[Choice], view: View, memory: Memory) -> list[Choice]:
    """The one that answers soonest; one that nobody has measured lately is tried by one call."""

    def expected_us(choice: Choice) -> tuple[int, int]:
        seen = view.vitals.get(choice.deployment.id, _UNSEEN)
        found_us = seen.expected_us(view.output_tokens, view.now_us)
        if found_us is None:
            return (0, 0) if seen.in_flight == 0 else (1, seen.in_flight)
        return found_us, seen.in_flight

    return sorted(by_weight(choices, view, memory), key=expected_us)


def by_load(choices: Sequence[Choice], view: View, memory: Memory) -> list[Choice]:
    """The one with the least to do for its capacity, or for its weight where nobody told that."""
    told = all(each.deployment.capacity is not None for each in choices)

    def load_ppm(choice: Choice) -> int:
        deployment = choice.deployment
        size = (deployment.capacity if told else deployment.weight) or 1
        return _in_flight(choice, view) * PER_MILLION // size

    return sorted(by_weight(choices, view, memory), key=load_ppm)


def by_affinity(choices: Sequence[Choice], view: View, memory: Memory) -> list[Choice]:
    """The one that has the prompt's beginning in its cache, unless it has too much to do."""
    places = affinity.order(
        memory.prefixes,
        view.chunks,
        [each.deployment.id for each in choices],
        [_in_flight(each, view) for each in choices],
        [max(1, each.deployment.weight) for each in choices],
    )
    return [choices[place] for place in places]


RANKS: Mapping[Strategy, Rank] = {
    "weighted": by_weight,
    "price": by_price,
    "latency": by_latency,
    "load": by_load,
    "affinity": by_affinity,
}


def order(
    choices: Sequence[Choice], route: Route, view: View, memory: Memory, name: bytes
) -> list[Choice]:
    """The choices of a route, the first to be asked first.

    The canary comes first for its share of the calls, and not at all for the others. Whoever has
    as many calls as it is made for comes last. ``name`` is what the call's share depends on.
    """
    if route.canary is not None:
        canary = [each for each in choices if each.deployment.id == route.canary.deployment]
        choices = [each for each in choices if each not in canary]
        if not choices or has_share(route.canary, name):
            return canary + _spread(choices, route, view, memory)
    return _spread(choices, route, view, memory)


def has_share(part: Part, name: bytes) -> bool:
    """Whether a call is one of a part's share; the same name always is or never is."""
    digest = affinity.hashed(part.deployment.encode() + b"\0" + name)
    return int.from_bytes(digest[:_DIGEST_BYTES], "big") % PER_MILLION < part.share_ppm


def _spread(choices: Sequence[Choice], route: Route, view: View, memory: Memory) -> list[Choice]:
    weighing = [each for each in choices if each.deployment.weight] or choices
    if not weighing:
        return []
    ranked = RANKS[route.strategy](weighing, view, memory)
    ranked += [each for each in choices if each not in ranked]
    return sorted(ranked, key=lambda each: _is_full(each, view)) if len(ranked) > 1 else ranked


def _is_full(choice: Choice, view: View) -> bool:
    capacity = choice.deployment.capacity
    return capacity is not None and _in_flight(choice, view) >= capacity


def _in_flight(choice: Choice, view: View) -> int:
    seen = view.vitals.get(choice.deployment.id)
    return 0 if seen is None else seen.in_flight


_UNSEEN = Vitals()
