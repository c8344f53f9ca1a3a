"""The router: from a call to the deployments that are asked for its answer, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from steelyard.catalogue.routes import Route
from steelyard.dispatch import affinity, breaker, records, refusals, routing, snapshot
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.retrying import Budget
from steelyard.dispatch.routing import Memory, View
from steelyard.dispatch.snapshot import Choice, Snapshot
from steelyard.dispatch.stages import Call
from steelyard.dispatch.vitals import Vitals

HEADER = "x-steelyard-deployments"
"""The header in which a caller names the deployments that it wants: ``a,b,!c``.

The body's ``steelyard`` object may say it as ``deployments``; the header goes before it.
"""

NAMES_MAX = 32
KNOWN_MAX = 4096
"""Pairs of a key and a model whose plans are remembered."""

RETRY_PERCENT = 20


class Wanted(NamedTuple):
    """What a caller wants: ``only`` these, in this order, should there be any; ``never`` those."""

    only: tuple[str, ...] = ()
    never: frozenset[str] = frozenset()


ANY = Wanted()

_ROUTE = Route(model="")


class Plan(NamedTuple):
    """What a call may use: its model's route, what it wants of it, and what is open to it."""

    route: Route
    wanted: Wanted
    open_to: Sequence[Choice]


class _Known(NamedTuple):
    """A plan, the same for every call between two instants. Unit: µs since 1970."""

    from_us: int
    until_us: int
    plan: Plan


class Router:
    """What a worker knows of its deployments; ``ways`` chooses among them."""

    def __init__(self, retry_percent: int = RETRY_PERCENT) -> None:
        self.vitals: dict[str, Vitals] = {}
        self.memory = Memory()
        self.budget = Budget(retry_percent)
        self._snapshot: Snapshot | None = None
        self._plans: dict[tuple[str, str], _Known] = {}
        """Plans by key and model, of calls that want nothing special."""

    def of(self, deployment: str) -> Vitals:
        """What is known of a deployment."""
        found = self.vitals.get(deployment)
        if found is None:
            found = self.vitals[deployment] = Vitals()
        return found

    def plan(self, known: Snapshot, call: Call) -> Plan | Refusal:
        """What a call may use. Refuses: routing_not_allowed, invalid_parameter, model_not_found."""
        ask, at_us = call.ask, call.arrival.at_us
        if call.arrival.deployments or ask.deployments or ask.choices > 1:
            return plan(known, call)
        if known is not self._snapshot:
            self._snapshot = known
            self._plans.clear()
        name = (call.key.sha256, ask.model)
        before = self._plans.get(name)
        if before is not None and before.from_us <= at_us < before.until_us:
            return before.plan
        found = plan(known, call)
        if isinstance(found, Plan):
            if len(self._plans) >= KNOWN_MAX:
                self._plans.clear()
            between_us = snapshot.between_us(known, call.key.contract, ask.model, at_us)
            self._plans[name] = _Known(*between_us, found)
        return found

    def ways(
        self, known: Snapshot, call: Call, plan: Plan, now_us: int
    ) -> Iterator[Choice] | Refusal:
        """The deployments to ask, in their order; those of other models when they are needed.

        Refuses: upstream_unavailable.
        """
        found = plan.open_to
        if len(found) > 1:
            found = self._ordered(call, plan.wanted, plan.route, found, now_us)
        elif found and not plan.route.fallback and self.of(found[0].deployment.id).closed:
            return iter(found)
        first = [each for each in found if self._admits(each, now_us)]
        if first and not plan.route.fallback:
            return iter(first)
        others = self._fallback(known, call, plan, now_us)
        if first:
            return itertools.chain(first, others)
        second = next(others, None)
        if second is None:
            return refusals.unavailable(self._opens_s(plan.open_to, now_us))
        return itertools.chain((second,), others)

    def _fallback(self, known: Snapshot, call: Call, plan: Plan, now_us: int) -> Iterator[Choice]:
        for model in plan.route.fallback:
            route = route_of(known, model)
            found: Sequence[Choice] = open_to(known, call, route, plan.wanted, model)
            if len(found) > 1:
                found = self._ordered(call, plan.wanted, route, found, now_us)
            yield from (each for each in found if self._admits(each, now_us))

    def _ordered(
        self, call: Call, wanted: Wanted, route: Route, found: Sequence[Choice], now_us: int
    ) -> Sequence[Choice]:
        """Several deployments, the best first."""
        if wanted.only:
            return sorted(found, key=lambda each: wanted.only.index(each.deployment.id))
        affine = route.strategy == "affinity"
        chunks = _chunks(call) if affine else ()
        expected = records.expected(call.ask)
        view = View(
            vitals=self.vitals,
            now_us=now_us,
            input_tokens=expected["input_tokens"],
            output_tokens=expected.get("output_tokens", 0),
            chunks=chunks,
        )
        session = call.arrival.session
        name = call.arrival.call_id if session is None else session.encode()
        ordered = routing.order(found, route, view, self.memory, name)
        if affine:
            self.memory.prefixes.remember(chunks, ordered[0].deployment.id)
        return ordered

    def _admits(self, choice: Choice, now_us: int) -> bool:
        return breaker.admits(self.of(choice.deployment.id).breaker, now_us)

    def _opens_s(self, choices: Sequence[Choice], now_us: int) -> int:
        waits_us = [
            breaker.opens_us(self.of(each.deployment.id).breaker, now_us) for each in choices
        ]
        return max(1, -(-min(waits_us, default=0) // 1_000_000))


def plan(known: Snapshot, call: Call) -> Plan | Refusal:
    """What a call may use. Refuses: routing_not_allowed, invalid_parameter, model_not_found."""
    wanted = want(call)
    if isinstance(wanted, Refusal):
        return wanted
    model = call.ask.model
    route = route_of(known, model)
    found = open_to(known, call, route, wanted)
    if not found and snapshot.choose(known, call.key, model, call.arrival.at_us) is None:
        return refusals.model_not_found(model)
    if not found and call.ask.choices > 1 and open_to(known, _one_choice(call), route, wanted):
        # The engine tells the usage of one choice, and the others would not be weighed.
        return refusals.invalid("n", "1 for this model")
    if not found and wanted is not ANY:
        return refusals.invalid(HEADER, "names of deployments that this key may use")
    return Plan(route, wanted, found)


def want(call: Call) -> Wanted | Refusal:
    """What a caller wants of its deployments. Refuses: routing_not_allowed, invalid_parameter."""
    written = call.arrival.deployments or call.ask.deployments
    if not written:
        return ANY
    if not call.key.routing:
        return refusals.routing_not_allowed()
    names = [name.strip() for name in written.split(",") if name.strip()]
    if len(names) > NAMES_MAX:
        return refusals.invalid(HEADER, f"at most {NAMES_MAX} names")
    only = dict.fromkeys(name for name in names if not name.startswith("!"))
    return Wanted(tuple(only), frozenset(name[1:] for name in names if name.startswith("!")))


def route_of(known: Snapshot, model: str) -> Route:
    """A model's route, or the one of models that have none."""
    return known.routes.get(model, _ROUTE)


def open_to(
    known: Snapshot, call: Call, route: Route, wanted: Wanted, model: str | None = None
) -> list[Choice]:
    """What a call may use of a model: by key, contract, region, and its own wish."""
    key, at_us = call.key, call.arrival.at_us
    found: list[Choice] = []
    for choice in snapshot.choices(known, key, model or call.ask.model, at_us):
        deployment = choice.deployment
        if (
            deployment.draining
            or not _is_routed(route, deployment.id)
            or (key.regions != ("*",) and not _in_region(key.regions, deployment.region))
            or (wanted.only and deployment.id not in wanted.only)
            or deployment.id in wanted.never
            or (deployment.kind == "engine" and call.ask.choices > 1)
        ):
            continue
        found.append(choice)
    return found


def _one_choice(call: Call) -> Call:
    """The same call, had it asked for one answer."""
    return call.asking(msgspec.structs.replace(call.ask, choices=1))


def _is_routed(route: Route, deployment: str) -> bool:
    canary = route.canary is not None and route.canary.deployment == deployment
    return not route.deployments or deployment in route.deployments or canary


def _in_region(patterns: Sequence[str], region: str | None) -> bool:
    return any(fnmatchcase(region or "", pattern) for pattern in patterns)


def _chunks(call: Call) -> Sequence[bytes]:
    return affinity.chunks_of(call.ask.fields, call.arrival.session, call.key.customer)
