"""What a call holds of its limits, on a desk of fakes: until it is weighed, or dies."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from steelyard.catalogue.limits import Limit
from steelyard.dispatch.calls import Answer, Ask, CallerGoneError
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.purses import Funds
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.serve import serve
from steelyard.metering.journal import JournalError, JournalFullError
from steelyard.upstream.transport import Kind, UpstreamError
from tests.dispatch.studio import KEY
from tests.dispatch.test_serve import BILLED, DONE, EVENTS, WHOLE, World, until

LIMIT = Limit(id="gold", of="key", tokens_per_minute=1000, requests_per_minute=10, concurrency=1)
HELD = 60 // 4 + 1 + 50
"""A body of 60 bytes, and an answer of at most 50 tokens."""


class Limited(World):
    """A call of at most 50 tokens under a limit."""

    def __init__(self, *parts: bytes | UpstreamError, streamed: bool = True) -> None:
        super().__init__(*parts, streamed=streamed)
        self.asked = Ask(
            kind="chat",
            model="m",
            fields={"messages": msgspec.Raw(b'[{"role":"user","content":"twelve bytes"}]')},
            ingress_bytes=60,
            streamed=streamed,
            output_tokens_max=50,
        )

    def desk(self, **limits: Any) -> Desk:
        desk = super().desk(**limits)
        desk.snapshot = msgspec.structs.replace(desk.snapshot, funds=Funds(limits=(LIMIT,)))
        return desk


def tokens_left(world: World) -> int:
    """What the caller was told."""
    assert world.standing.tokens is not None
    return world.standing.tokens.left


def left(desk: Desk) -> tuple[int, int]:
    """Requests and tokens that are left, and nothing running."""
    clock, counting = desk.clock, desk.allowances
    way = counting.way(desk.snapshot, KEY, "m", clock.wall_us())
    running = [each.held for each in way.slices if each.purse.returns == "ended"]
    assert running == [0]
    standing = counting.standing(way, clock.wall_us(), clock.monotonic_us())
    assert standing.requests is not None
    assert standing.tokens is not None
    return standing.requests.left, standing.tokens.left


async def test_what_was_weighed_is_taken():
    world = Limited(WHOLE, streamed=False)
    desk = world.desk()
    assert isinstance(await serve(desk, world), Answer)
    assert tokens_left(world) == 1000 - HELD
    assert left(desk) == (9, 1000 - sum(BILLED.values()))


async def test_what_is_held_while_a_stream_runs():
    world = Limited(*EVENTS, DONE)
    desk = world.desk()
    world.pause_after = 2
    running = asyncio.ensure_future(serve(desk, world))
    await until(lambda: "send" in world.log)
    other = Limited(WHOLE, streamed=False)
    refused = await serve(desk, other)
    assert isinstance(refused, Refusal)
    assert (refused.code, other.log) == (Code.RATE_LIMIT_EXCEEDED, ["ask"])
    assert tokens_left(other) == 1000 - HELD
    world.go_on.set()
    await running
    assert left(desk) == (9, 1000 - sum(BILLED.values()))


async def test_an_upstream_that_fails_costs_a_request_and_no_tokens():
    world = Limited(UpstreamError(Kind.BROKEN, "reset"), streamed=False)
    desk = world.desk()
    assert isinstance(await serve(desk, world), Refusal)
    assert left(desk) == (9, 1000)


async def test_who_hangs_up_pays_for_what_it_got():
    world = Limited(*EVENTS, DONE)
    desk = world.desk()
    world.hang_up_at = 1
    await serve(desk, world)
    meters = world.records[0].meters
    tokens = meters["input_tokens"] + meters["output_tokens"]
    assert left(desk) == (9, 1000 - tokens)


@pytest.mark.parametrize("fault", [JournalFullError("full"), JournalError("broken")])
async def test_a_call_that_is_not_made_gives_all_back(fault):
    world = Limited(WHOLE, streamed=False)
    desk = world.desk()
    world.journal_fails["announce"] = fault
    assert isinstance(await serve(desk, world), Refusal)
    assert left(desk) == (10, 1000)


class BugError(Exception):
    """What nobody foresaw."""


@pytest.mark.parametrize("dies_of", [BugError(), asyncio.CancelledError(), CallerGoneError()])
async def test_a_call_that_dies_gives_all_back(dies_of):
    world = Limited(WHOLE, streamed=False)
    desk = world.desk()

    world.journal_fails["announce"] = dies_of
    with pytest.raises(type(dies_of)):
        await serve(desk, world)
    assert left(desk) == (10, 1000)
    assert desk.in_flight == 0
