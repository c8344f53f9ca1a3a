"""Limits that several workers keep together: none is passed by all of them, and none lies idle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from steelyard.catalogue.limits import Limit
from steelyard.dispatch import cover, limiting, windows
from steelyard.dispatch.allowances import Allowances, Held
from steelyard.dispatch.cover import Cover
from steelyard.dispatch.leasing import MemoryStore, StoreAwayError
from steelyard.dispatch.limiting import Turned, Units
from steelyard.dispatch.purses import Funds
from steelyard.dispatch.refusals import Code
from steelyard.values.clock import FixedClock
from tests.dispatch.studio import KEY, snapshot

SECOND = 1_000_000


class Store(MemoryStore):
    """One that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.stamp = "x"
        self.is_away = False

    def exchange(self, stamp, writer, turn, wishes):
        if self.is_away:
            raise StoreAwayError
        return super().exchange(stamp, writer, turn, wishes)


class Beating(FixedClock):
    """One by which beats come quickly, and that else stands still until it is moved on."""

    def __init__(self) -> None:
        super().__init__()
        self._began_s = asyncio.get_running_loop().time()

    def monotonic_us(self) -> int:
        passed_s = asyncio.get_running_loop().time() - self._began_s
        return self.now_us + int(passed_s * SECOND)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(cover, "BEAT_S", 0.02)
    monkeypatch.setattr(cover, "TIGHT_S", 0.01)
    monkeypatch.setattr(cover, "POLL_S", 0.005)
    monkeypatch.setattr(cover, "RECALL_S", 0.3)


class Worker:
    """A worker's limits."""

    def __init__(self, store: MemoryStore, name: str, clock: Beating, *limits: Limit) -> None:
        self.cover = Cover(store, name, clock, "x")
        self._limits = Allowances(self.cover, patience_s=2)
        self.clock = clock
        self.studio = msgspec.structs.replace(snapshot(), funds=Funds(limits=limits))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._limits, name)

    async def call(self, *, tokens: int = 1) -> Held | Turned:
        at_us, now_us = self.clock.wall_us(), self.clock.monotonic_us()
        way = self.way(self.studio, KEY, "m", at_us)
        need = (tokens, 0, False)
        found = self.take(way, need, now_us)
        return found or await self.wait(way, need, at_us, now_us, never)

    def end(self, held: Held | Turned, used: Units | None = None) -> None:
        assert isinstance(held, Held), held
        self.settle(held, used or [0, 0, 0, 0], self.clock.monotonic_us())


async def never() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def workers(
    store: MemoryStore, *limits: Limit, count: int = 2
) -> AsyncGenerator[tuple[list[Worker], Beating]]:
    clock = Beating()
    made = [Worker(store, f"gateway-{number}", clock, *limits) for number in range(count)]
    tasks = [asyncio.create_task(each.cover.keep()) for each in made]
    try:
        yield made, clock
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in made:
            each.cover.close()


def limit(**bounds: Any) -> Limit:
    return Limit(id="a", of="key", **bounds)


BOUNDS = [
    # bound, so many calls of one request and 10 tokens fit at all workers together
    (limit(requests_per_minute=50), 50),
    (limit(requests_per_day=50), 50),
    (limit(tokens_per_minute=500), 50),
    (limit(input_tokens_per_day=509), 50),
    (limit(concurrency=50), 50),
    (limit(requests_per_minute=10, burst_s=60), 10),
    (limit(tokens_per_minute=600, requests_per_day=70, concurrency=50, burst_s=60), 50),
]


@pytest.mark.parametrize(("bound", "fit"), BOUNDS)
async def test_four_workers_admit_as_many_calls_as_one_would(bound, fit):
    async with workers(Store(), bound, count=4) as (four, clock):
        del clock
        calls = [four[number % 4].call(tokens=10) for number in range(3 * fit)]
        found = await asyncio.gather(*calls)
    assert sum(isinstance(each, Held) for each in found) == fit


async def test_five_calls_at_once_on_a_minute_of_a_hundred_tokens_hold_at_most_a_hundred():
    async with workers(Store(), limit(tokens_per_minute=100), count=4) as (four, _):
        found = await asyncio.gather(*(four[n % 4].call(tokens=30) for n in range(5)))
        held = [each for each in found if isinstance(each, Held)]
        assert sum(each.units[limiting.TOKENS] for each in held) == 90


async def test_a_worker_that_is_alone_has_all_and_is_refused_without_asking():
    store = Store()
    async with workers(store, limit(requests_per_minute=40), count=1) as ((a,), _):
        for _ in range(40):
            a.end(await a.call(), [1, 0, 0, 0])
        asked = store.round_trips
        for _ in range(20):
            assert isinstance(await a.call(), Turned)
        assert store.round_trips - asked <= 1, "a beat may come between"


async def test_a_minute_is_any_sixty_seconds_also_at_two_workers():
    async with workers(Store(), limit(requests_per_minute=10)) as ((a, b), clock):
        for each in (a, b) * 5:
            each.end(await each.call(), [1, 0, 0, 0])
        for each in (a, b):
            found = await each.call()
            assert isinstance(found, Turned)
            assert found.wait_us is not None
            assert 0 < found.wait_us <= 61 * SECOND
        clock.advance(59 * SECOND)
        assert isinstance(await a.call(), Turned)
        clock.advance(3 * SECOND)
        await asyncio.sleep(0.2)
        for _ in range(10):
            a.end(await a.call(), [1, 0, 0, 0])
        assert isinstance(await b.call(), Turned)


async def test_what_one_worker_does_not_use_another_gets():
    async with workers(Store(), limit(tokens_per_minute=100)) as ((a, b), _):
        a.end(await a.call(tokens=90), [1, 10, 0, 10])
        b.end(await b.call(tokens=90), [1, 10, 0, 10])
        a.end(await a.call(tokens=80), [1, 80, 0, 80])
        assert isinstance(await b.call(tokens=1), Turned)


async def test_places_come_back_when_calls_end_at_another_worker():
    async with workers(Store(), limit(concurrency=3)) as ((a, b), _):
        held = [await a.call() for _ in range(3)]
        found = await b.call()
        assert isinstance(found, Turned)
        assert limiting.refusal(found, "m").code == Code.RATE_LIMIT_EXCEEDED
        a.end(held[0])
        await asyncio.sleep(0.2)
        assert isinstance(await b.call(), Held)


async def test_a_killed_worker_s_places_are_free_at_once_and_its_minute_when_it_is_over():
    store = Store()
    bounds = limit(concurrency=2, requests_per_minute=2)
    async with workers(store, bounds, count=3) as ((a, b, c), _):
        for _ in range(2):
            assert isinstance(await a.call(), Held)
        store.release("gateway-0", {})
        assert isinstance(await b.call(), Turned)
        blocked = await c.call()
        assert isinstance(blocked, Turned)
        assert blocked.purse.returns == "minute", "the places are free"
        store.lapse(["gateway-0", "gateway-1"])
        await asyncio.sleep(0.2)
        assert isinstance(await c.call(), Held)


async def test_with_the_store_away_what_is_leased_is_served_then_nothing():
    store = Store()
    async with workers(store, limit(requests_per_minute=1000)) as ((a, b), _):
        a.end(await a.call(), [1, 0, 0, 0])
        b.end(await b.call(), [1, 0, 0, 0])
        store.is_away = True
        a.cover.slices["rate/a/key=k/requests/minute"].granted = 21
        for _ in range(20):
            a.end(await a.call(), [1, 0, 0, 0])
        found = await a.call()
        assert isinstance(found, Turned)
        refusal = limiting.refusal(found, "m")
        assert (refusal.code, refusal.retry_after_s) == (Code.COVER_UNKNOWN, 1)
        store.is_away = False
        await asyncio.sleep(0.4)
        assert isinstance(await a.call(), Held)


async def test_a_bound_that_has_become_smaller_is_kept_by_all():
    store = Store()
    async with workers(store, limit(requests_per_minute=400)) as (both, _):
        for each in both:
            each.end(await each.call(), [1, 0, 0, 0])
            each.studio = msgspec.structs.replace(
                each.studio, funds=Funds(limits=(limit(requests_per_minute=10),))
            )
            each.way(each.studio, KEY, "m", each.clock.wall_us())
        await asyncio.sleep(0.2)
        found = [await both[number % 2].call() for number in range(20)]
        assert sum(isinstance(each, Held) for each in found) == 8


async def test_what_is_told_to_be_left_is_there():
    async with workers(Store(), limit(tokens_per_minute=1000)) as ((a, b), clock):
        for each in (a, b) * 10:
            held = await each.call(tokens=10)
            assert isinstance(held, Held)
            told = each.standing(held.way, clock.wall_us(), clock.monotonic_us()).tokens
            assert told is not None
            each.end(held, [1, 10, 0, 10])
        assert told.left <= 800
        assert windows.MINUTE_S * SECOND <= told.reset_us <= 61 * SECOND


async def test_a_caller_that_hangs_up_while_it_waits_holds_nothing():
    async with workers(Store(), limit(concurrency=1)) as ((a, b), _):
        held = await a.call()
        waits = asyncio.create_task(b.call())
        await asyncio.sleep(0.02)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        a.end(held)
        assert isinstance(await b.call(), Held)
