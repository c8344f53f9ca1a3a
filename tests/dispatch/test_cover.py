"""Cover: workers that share purses, in one process: what is held, waited for and given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from steelyard.dispatch import cover
from steelyard.dispatch.calls import CallerGoneError
from steelyard.dispatch.cover import Cover
from steelyard.dispatch.leasing import Held, MemoryStore, StoreAwayError
from steelyard.dispatch.purses import LOT_PICO, Purse
from steelyard.dispatch.waiting import Drawn, Need, Short
from steelyard.values.clock import FixedClock

WAIT_S = 5.0


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


class Ticking(FixedClock):
    """The machine's clock."""

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(cover, "BEAT_S", 0.05)


def purse(name="p", lots=100, **more) -> Purse:
    return Purse(name=name, currency="USD", size=lots * LOT_PICO, **more)


async def until(there: Callable[[], bool]) -> None:
    while not there():  # noqa: ASYNC110 - what is waited for knows nothing of the test
        await asyncio.sleep(0.01)


async def never() -> None:
    await asyncio.Event().wait()


def need(most: int, least: int | None = None, last: int | None = None) -> Need:
    least = most if least is None else least
    last = least if last is None else last
    return Need(most * LOT_PICO, least * LOT_PICO, last * LOT_PICO)


class Worker:
    """A worker's cover, in lots."""

    def __init__(self, store: MemoryStore, name: str, *given: Any) -> None:
        self._cover = Cover(store, name, *given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cover, name)

    async def take(self, wanted: Need, *purses: Purse, patience_s=WAIT_S, gone=never) -> Any:
        slices = self.slices_of(purses)
        drawn = self.draw(slices, wanted.most)
        return drawn or await self.wait(slices, wanted, patience_s, gone)


@asynccontextmanager
async def workers(store: MemoryStore, *names: str) -> AsyncGenerator[list[Worker]]:
    made = [Worker(store, name, Ticking(), "x") for name in names]
    tasks = [asyncio.create_task(each.keep()) for each in made]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in made:
            each.close()


def lots_of(drawn: Drawn | Short) -> int:
    assert isinstance(drawn, Drawn), drawn
    return drawn.amount // LOT_PICO


async def test_a_call_holds_its_most_and_gives_back_what_it_did_not_use():
    store = Store()
    async with workers(store, "a") as (a,):
        first = await a.take(need(60), purse())
        second = await a.take(need(60, 60), purse(), patience_s=0.2)
        assert isinstance(second, Short)
        assert (second.why, second.left) == ("held", 40 * LOT_PICO)
        a.settle(first, 10 * LOT_PICO)
        a.settle(first, 10 * LOT_PICO)
        assert lots_of(await a.take(need(60), purse())) == 60


async def test_all_purses_or_none():
    store = Store()
    async with workers(store, "a") as (a,):
        few, many = purse("few", 10), purse("many", 1000)
        assert isinstance(await a.take(need(50), few, many, patience_s=0.1), Short)
        assert lots_of(await a.take(need(900), many)) == 900
        assert [each.held for each in a.slices.values()] == [0, 900 * LOT_PICO]


async def test_what_another_worker_does_not_use_comes_back_to_who_waits():
    store = Store()
    async with workers(store, "a", "b") as (a, b):
        a.settle(await a.take(need(20), purse()), LOT_PICO)
        assert store.held()[0].granted > 20
        assert lots_of(await b.take(need(99), purse())) == 99
        assert store.held()[0].granted == 100


async def test_a_call_is_cut_down_to_what_is_left_as_far_as_it_allows():
    store = Store()
    async with workers(store, "a", "b") as (a, b):
        held = await a.take(need(70), purse())
        assert 20 <= lots_of(await b.take(need(60, 20), purse())) <= 30
        waits = asyncio.create_task(b.take(need(60, 20), purse()))
        await asyncio.sleep(0.1)
        assert not waits.done()
        a.settle(held, 45 * LOT_PICO)
        assert 20 <= lots_of(await waits) <= 25


async def test_what_never_will_be_enough_is_refused_at_once_and_what_is_left_is_used():
    store = Store()
    async with workers(store, "a", "b") as (a, b):
        a.settle(await a.take(need(95), purse()), 95 * LOT_PICO)
        found = await b.take(need(60, 20), purse(), patience_s=60)
        assert isinstance(found, Short)
        assert (found.why, found.left) == ("spent", 5 * LOT_PICO)
        last = await b.take(need(60, 20, 3), purse(), patience_s=60)
        assert lots_of(last) == 5


async def test_a_call_whose_time_is_over_asks_once_more_before_it_is_refused(monkeypatch):
    monkeypatch.setattr(cover, "POLL_S", 60)
    store = Store()
    async with workers(store, "a", "b") as (a, b):
        held = await a.take(need(95), purse())
        waits = asyncio.create_task(b.take(need(90), purse(), patience_s=0.3))
        await asyncio.sleep(0.15)
        a.settle(held, 0)
        assert lots_of(await waits) == 90


async def test_calls_wait_in_turn():
    store = Store()
    async with workers(store, "a") as (a,):
        held = await a.take(need(95), purse())
        large = asyncio.create_task(a.take(need(90), purse()))
        await asyncio.sleep(0)
        small = asyncio.create_task(a.take(need(1), purse()))
        await asyncio.sleep(0.15)
        assert not small.done()
        a.settle(held, 0)
        assert (lots_of(await large), lots_of(await small)) == (90, 1)


async def test_a_caller_that_hangs_up_holds_nothing():
    store, hangs_up = Store(), asyncio.Event()
    async with workers(store, "a") as (a,):
        held = await a.take(need(95), purse())
        waits = asyncio.create_task(a.take(need(90), purse(), gone=hangs_up.wait))
        await asyncio.sleep(0.05)
        hangs_up.set()
        with pytest.raises(CallerGoneError):
            await waits
        waits = asyncio.create_task(a.take(need(90), purse()))
        await asyncio.sleep(0.05)
        waits.cancel()
        a.settle(held, 0)
        assert lots_of(await a.take(need(100), purse())) == 100


async def test_with_the_store_away_what_is_leased_is_served_then_nothing():
    store = Store()
    async with workers(store, "a", "b") as (a, b):
        a.settle(await a.take(need(4), purse()), 4 * LOT_PICO)
        left = a.slices["p"].room // LOT_PICO
        assert left > 0
        store.is_away = True
        for _ in range(left):
            a.settle(await a.take(need(1), purse()), LOT_PICO)
        for each in (a, b):
            found = await each.take(need(1), purse(), patience_s=0.3)
            assert isinstance(found, Short)
            assert found.why == "away"
        store.is_away = False
        assert lots_of(await b.take(need(90 - left), purse())) == 90 - left
        (held,) = store.held()
        assert held.granted <= 100


async def test_a_lost_store_is_told_by_the_living_what_they_hold():
    store = Store()
    async with workers(store, "a") as (a,):
        held = await a.take(need(30), purse())
        store.stamp = ""
        store.clear("", "x")
        waits = asyncio.create_task(a.take(need(65), purse()))
        await until(lambda: "a" in store.state()[1])
        assert store.held()[0].granted >= 30
        assert not waits.done()
        store.open("x")
        assert lots_of(await waits) == 65
        a.settle(held, 0)


async def test_a_worker_that_was_taken_for_dead_leases_no_more():
    store = Store()
    async with workers(store, "a") as (a,):
        await a.take(need(3), purse())
        store.release("a", {})
        found = await a.take(need(90), purse(), patience_s=0.3)
        assert isinstance(found, Short)
        assert a.lost.is_set()


async def test_what_does_not_stop_is_counted_and_told():
    store = Store()
    soft = purse("soft", 10, stops=False, notices_ppm=(500_000, 1_000_000))
    async with workers(store, "a") as (a,):
        for _ in range(30):
            a.settle(await a.take(need(1), soft), LOT_PICO)
        await until(lambda: len(store.notices()) == 2)
        assert [each.ppm for each in store.notices()] == [500_000, 1_000_000]
        assert store.held()[0].spent == 30


async def test_unused_slices_go_back():
    store = Store()
    async with workers(store, "a") as (a,):
        a.settle(await a.take(need(2), purse()), LOT_PICO)
        await until(lambda: store.held()[0].granted == 1)
        await asyncio.sleep(0.3)
        assert store.held()[0] == Held("p", 1, 1)


async def test_many_calls_at_four_workers_spend_no_more_than_there_is():
    store, spent, refused = Store(), 0, 0

    async def call(worker: Worker, number: int) -> None:
        nonlocal spent, refused
        drawn = await worker.take(need(7), purse(lots=1000))
        if isinstance(drawn, Short):
            assert drawn.why == "spent"
            refused += 1
            return
        await asyncio.sleep(number % 5 / 1000)
        used = number % 8
        spent += used
        worker.settle(drawn, used * LOT_PICO)

    async with workers(store, "a", "b", "c", "d") as four:
        await asyncio.gather(*(call(four[n % 4], n) for n in range(600)))
    assert 1000 - 7 < spent <= 1000
    assert refused
    assert store.held()[0].granted <= 1000
