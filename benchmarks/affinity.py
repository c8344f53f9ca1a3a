"""Prefix affinity on Mooncake's trace of Kimi: what caches give, by how calls are routed.

The calls of an hour are routed by the gateway's own code. Each deployment keeps every block of
every prompt that it ever had, and takes a time for a call that grows with what it computes.
"""

from __future__ import annotations

import gzip
import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import plot
from benchmarks.plot import Panel, Series
from steelyard.catalogue.documents import Deployment
from steelyard.catalogue.offers import Offer
from steelyard.catalogue.routes import Route, Strategy
from steelyard.dispatch import affinity, routing
from steelyard.dispatch.routing import Memory, View
from steelyard.dispatch.snapshot import Choice
from steelyard.dispatch.vitals import Vitals

ROOT = Path(__file__).parents[1]
TRACE = ROOT / "examples" / "traces" / "mooncake_conversation_trace.jsonl.gz"
PICTURE = ROOT / "docs" / "pictures" / "affinity.svg"

BLOCK_TOKENS = 512
DEPLOYMENTS = (1, 2, 4, 8)
AT = 4
"""The number of deployments that the figures are told for."""

QUICK_CALLS = 3000
SEED = 20_261_124

FIRST_US, INPUT_TOKEN_US, OUTPUT_TOKEN_US = 50_000, 100, 20_000
"""How long a call takes: to begin, for a token of the prompt that is not cached, for one made."""

WAYS = ("affinity", "load", "random")


class Asked(msgspec.Struct, frozen=True):
    """A line of the trace. Unit: ``timestamp`` ms."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


class Ran(NamedTuple):
    """How one run went. ``over``: calls that were given to a deployment beyond its bound.

    ``calls_even`` and ``work_even`` are the most that one deployment had, over an even share.
    """

    cached_share: float
    calls_even: float
    work_even: float
    over: int


Pick = Callable[[Asked, View], Sequence[Choice]]


def measure(*, quick: bool = False, picture: Path | None = PICTURE) -> dict[str, float]:
    """Route the trace; ``picture`` is where the plot is drawn, unless it is quick."""
    asked = calls(QUICK_CALLS if quick else None)
    ran = {
        (way, count): run(asked, way, count)
        for count in ((AT,) if quick else DEPLOYMENTS)
        for way in WAYS
    }
    single = run(asked, "load", 1).cached_share
    if picture is not None and not quick:
        picture.write_text(drawn(ran, single), "utf-8")
    best, load, chance = (ran[way, AT] for way in WAYS)
    return {
        "calls_count": len(asked),
        "single_cached_share_ratio": single,
        "affinity_cached_share_ratio": best.cached_share,
        "load_cached_share_ratio": load.cached_share,
        "random_cached_share_ratio": chance.cached_share,
        "over_single_ratio": best.cached_share / single,
        "affinity_calls_over_even_ratio": best.calls_even,
        "affinity_work_over_even_ratio": best.work_even,
        "load_calls_over_even_ratio": load.calls_even,
        "random_calls_over_even_ratio": chance.calls_even,
        "affinity_beyond_bound_count": best.over,
    }


def calls(most: int | None = None) -> list[Asked]:
    """The calls of the trace, in their order."""
    decode = msgspec.json.Decoder(Asked).decode
    with gzip.open(TRACE, "rt", encoding="utf-8") as file:
        return [decode(line) for line in itertools.islice(file, most)]


def run(asked: Sequence[Asked], way: str, count: int) -> Ran:
    """Give each call to one of ``count`` deployments, and see what is in its cache."""
    choices = [choice(f"deployment-{number}") for number in range(1, count + 1)]
    places = {each.deployment.id: place for place, each in enumerate(choices)}
    vitals = {name: Vitals() for name in places}
    pick = _picker(way, choices)
    names: dict[int, bytes] = {}
    caches: list[set[int]] = [set() for _ in choices]
    had, worked = [0] * count, [0] * count
    running: list[tuple[int, str]] = []
    prompt = cached = over = 0
    for call in asked:
        now_us = call.timestamp * 1000
        while running and running[0][0] <= now_us:
            vitals[heapq.heappop(running)[1]].leave()
        view = View(
            vitals=vitals,
            now_us=now_us,
            input_tokens=call.input_length,
            output_tokens=call.output_length,
            chunks=[_name(names, block) for block in call.hash_ids],
        )
        chosen = pick(call, view)[0].deployment.id
        place = places[chosen]
        loads = [vitals[name].in_flight for name in places]
        over += not affinity.has_room(loads, [1] * count, place)
        blocks = list(itertools.takewhile(caches[place].__contains__, call.hash_ids))
        known = min(len(blocks) * BLOCK_TOKENS, call.input_length)
        caches[place].update(call.hash_ids)
        prompt, cached = prompt + call.input_length, cached + known
        computed_us = (call.input_length - known) * INPUT_TOKEN_US
        took_us = FIRST_US + computed_us + call.output_length * OUTPUT_TOKEN_US
        had[place] += 1
        worked[place] += took_us
        vitals[chosen].enter(now_us)
        heapq.heappush(running, (now_us + took_us, chosen))
    return Ran(
        cached_share=cached / prompt,
        calls_even=max(had) * count / sum(had),
        work_even=max(worked) * count / sum(worked),
        over=over,
    )


def choice(name: str) -> Choice:
    """A deployment as the gateway routes to it."""
    deployment = Deployment(id=name, model="kimi", kind="openai", provider="bench")
    offer = Offer(
        from_us=0,
        contract="bench",
        customer="bench",
        currency="CNY",
        zone="UTC",
        tariff=None,
        peaks=(),
        price_version="",
        costs=(),
        cost_version="",
    )
    return Choice(deployment, offer)


def _picker(way: str, choices: Sequence[Choice]) -> Pick:
    if way == "random":
        chance = random.Random(SEED)
        return lambda _call, _view: [chance.choice(choices)]
    strategy: Strategy = "affinity" if way == "affinity" else "load"
    route, memory = Route(model="kimi", strategy=strategy), Memory()

    def pick(_call: Asked, view: View) -> Sequence[Choice]:
        ordered = routing.order(choices, route, view, memory, b"")
        if strategy == "affinity":
            memory.prefixes.remember(view.chunks, ordered[0].deployment.id)
        return ordered

    return pick


def _name(names: dict[int, bytes], block: int) -> bytes:
    found = names.get(block)
    if found is None:
        found = names[block] = affinity.hashed(block.to_bytes(8, "big"))
    return found


def drawn(ran: dict[tuple[str, int], Ran], single: float) -> str:
    """The plot, as SVG."""
    label = {"affinity": "prefix affinity", "load": "least loaded", "random": "random"}
    shares = [
        Series(label[way], [(count, 100 * ran[way, count].cached_share) for count in DEPLOYMENTS])
        for way in WAYS
    ]
    loads = [
        Series(label[way], [(count, ran[way, count].calls_even) for count in DEPLOYMENTS])
        for way in WAYS
    ]
    return plot.draw(
        "12,031 calls of Mooncake's trace, routed by the gateway's own code",
        [
            Panel(
                "Prompt tokens found in a cache, %",
                "deployments",
                shares,
                y_max=40,
                mark=(100 * single, f"one cache for all: {100 * single:.1f} %"),
            ),
            Panel(
                "Calls of the busiest deployment, over an even share",
                "deployments",
                loads,
                y_min=0.9,
                y_max=1.4,
                mark=(1.25, "the bound: 1.25"),
            ),
        ],
    )
