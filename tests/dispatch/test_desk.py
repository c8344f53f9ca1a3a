"""The worker's places: calls that wait for one, and the worker's end."""

from __future__ import annotations

import asyncio

import msgspec

from steelyard.dispatch.places import Ticket
from tests.dispatch.studio import KEY
from tests.dispatch.test_serve import World


async def test_a_full_worker_lets_calls_wait():
    world = World()
    desk = world.desk(concurrency_max=1, queue_calls_max=1, queue_s=5)
    assert await desk.admit(KEY, world)
    waiting = asyncio.ensure_future(desk.admit(KEY, world))
    await asyncio.sleep(0)
    assert not await desk.admit(KEY, world)
    desk.leave()
    assert await waiting
    assert desk.in_flight == 1


async def test_who_waits_is_turned_away_when_the_worker_stops():
    world = World()
    desk = world.desk(concurrency_max=1, queue_calls_max=5, queue_s=5)
    assert await desk.admit(KEY, world)
    waiting = asyncio.ensure_future(desk.admit(KEY, world))
    await asyncio.sleep(0)
    drained = asyncio.ensure_future(desk.drain(5))
    assert not await waiting
    assert not await desk.admit(KEY, world)
    desk.leave()
    assert await drained


def test_as_whose_a_call_waits():
    desk = World().desk()
    desk.snapshot = msgspec.structs.replace(desk.snapshot, weights={"acme": 3})
    assert desk.ticket(msgspec.structs.replace(KEY, priority=5)) == Ticket("acme", 3, 5)
    assert desk.ticket(msgspec.structs.replace(KEY, customer="globex")) == Ticket("globex")
