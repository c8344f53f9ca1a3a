"""The router: from a call to the deployments that are asked for its answer, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from steelyard.catalogue.routes import Route
from steelyard.dispatch import affinity, breaker, records, refusals, routing, snapshot
from steelyard.dispatch.records import Call
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.retrying import Budget
from steelyard.dispatch.routing import Memory, View
from steelyard.dispatch.snapshot import Choice, Snapshot
from steelyard.dispatch.vitals import Vitals

HEADER = "x-steelyard-deployments"
"""The header in which a caller names the deployments that it wants: ``a,b,!c``."""

NAMES_MAX = 32
RETRY_PERCENT = 20


class Wanted(msgspec.Struct, frozen=True):
    """What a caller wants: ``only`` these, in this order, should there be any; ``never`` those."""

    only: tuple[str, ...] = ()
    never: frozenset[str] = frozenset()


ANY = Wanted()

_ROUTE = Route(model="")


class Plan(NamedTuple):
    """A call, its route, and what it may use of it."""

    call: Call
    route: Route
    wanted: Wanted
    open_to: Sequence[Choice]


class Router:
    """What a worker knows of its deployments; ``ways`` chooses among them."""

    def __init__(self, retry_percent: int = RETRY_PERCENT) -> None:
        self.vitals: dict[str, Vitals] = {}
        self.memory = Memory()
        self.budget = Budget(retry_percent)

    def of(self, deployment: str) -> Vitals:
        """What is known of a deployment."""
        found = self.vitals.get(deployment)
        if found is None:
            found = self.vitals[deployment] = Vitals()
        return found

    def ways(self, known: Snapshot, plan: Plan, now_us: int) -> Iterator[Choice] | Refusal:
        """The deployments to ask, in their order; those of other models when they are needed.

        Refuses: upstream_unavailable.
        """
        first = self._admitting(self._ordered(plan, plan.route, plan.open_to, now_us), now_us)
        others = self._fallback(known, plan, now_us)
        if first:
            return itertools.chain(first, others)
        second = next(others, None)
        if second is None:
            return refusals.unavailable(self._opens_s(plan.open_to, now_us))
        return itertools.chain((second,), others)

    def _fallback(self, known: Snapshot, plan: Plan, now_us: int) -> Iterator[Choice]:
        for model in plan.route.fallback:
            route = route_of(known, model)
            found = open_to(known, plan.call, route, plan.wanted, model)
            yield from self._admitting(self._ordered(plan, route, found, now_us), now_us)

    def _ordered(
        self, plan: Plan, route: Route, found: Sequence[Choice], now_us: int
    ) -> Sequence[Choice]:
        if plan.wanted.only:
            return sorted(found, key=lambda each: plan.wanted.only.index(each.deployment.id))
        if len(found) < 2:  # noqa: PLR2004 - there is nothing to choose from
            return found
        call = plan.call
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

    def _admitting(self, choices: Sequence[Choice], now_us: int) -> list[Choice]:
        return [
            each for each in choices if breaker.admits(self.of(each.deployment.id).breaker, now_us)
        ]

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
    if wanted is ANY and call.ask.choices == 1 and (ways := _remembered(known, call, route)):
        return Plan(call, route, wanted, ways)
    found = open_to(known, call, route, wanted)
    if not found and snapshot.choose(known, call.key, model, call.arrival.at_us) is None:
        return refusals.model_not_found(model)
    if not found and call.ask.choices > 1 and open_to(known, _one_choice(call), route, wanted):
        # The engine tells the usage of one choice, and the others would not be weighed.
        return refusals.invalid("n", "1 for this model")
    if not found and wanted is not ANY:
        return refusals.invalid(HEADER, "names of deployments that this key may use")
    return Plan(call, route, wanted, found)


def _remembered(known: Snapshot, call: Call, route: Route) -> Sequence[Choice]:
    """What a call may use that wants nothing special, as long as the same offers hold."""
    key, model, at_us = call.key, call.ask.model, call.arrival.at_us
    of = (key, route, known.places.get((key.contract, model)))
    name = (key.sha256, model)
    before = known.known.get(name)
    if before is not None and before.from_us <= at_us < before.until_us:
        was_key, was_route, was_places = before.of
        if was_key is of[0] and was_route is of[1] and was_places is of[2]:
            return before.open_to
    found = tuple(open_to(known, call, route, ANY))
    if found:
        if len(known.known) >= snapshot.KNOWN_MAX:
            known.known.clear()
        between_us = snapshot.between_us(known, key.contract, model, at_us)
        known.known[name] = snapshot.Known(*between_us, of, found)
    return found


def want(call: Call) -> Wanted | Refusal:
    """What a caller wants of its deployments. Refuses: routing_not_allowed, invalid_parameter."""
    written = call.arrival.deployments
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
    return msgspec.structs.replace(call, ask=msgspec.structs.replace(call.ask, choices=1))


def _is_routed(route: Route, deployment: str) -> bool:
    canary = route.canary is not None and route.canary.deployment == deployment
    return not route.deployments or deployment in route.deployments or canary


def _in_region(patterns: Sequence[str], region: str | None) -> bool:
    return any(fnmatchcase(region or "", pattern) for pattern in patterns)


def _chunks(call: Call) -> Sequence[bytes]:
    return affinity.chunks_of(call.ask.fields, call.arrival.session, call.key.customer)
