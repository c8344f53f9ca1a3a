"""Waiting for a place: who gets it, for how long one waits, and who gives up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from steelyard.dispatch.calls import CallerGoneError
from steelyard.dispatch.places import Places, Ticket

ACME, GLOBEX = Ticket("acme"), Ticket("globex", weight=2)
ONE = {"one": 1}


class Person:
    """A caller who can hang up."""

    def __init__(self) -> None:
        self.hung_up = asyncio.Event()

    async def gone(self) -> None:
        await self.hung_up.wait()


def entering(places: Places, wanted=ONE, ticket=ACME, caller: Person | None = None):
    return asyncio.ensure_future(places.enter("m", wanted, ticket, (caller or Person()).gone))


async def started(task: asyncio.Future[Any]) -> asyncio.Future[Any]:
    await asyncio.sleep(0)
    return task


async def test_a_free_place_is_taken_at_once_the_first_wanted_first():
    places = Places(0, 1)
    wanted = {"one": 1, "two": 2, "three": None}
    got = [await entering(places, wanted) for _ in range(5)]
    assert got == ["one", "two", "two", "three", "three"]


async def test_whoever_waits_gets_the_place_that_is_left():
    places = Places(10, 5)
    assert await entering(places) == "one"
    waiting = await started(entering(places, {"one": 1, "two": 0}))
    assert len(places) == 1
    places.leave("m", "one")
    assert await waiting == "one"
    assert len(places) == 0
    late = await started(entering(places))
    assert not late.done()
    places.leave("m", "one")
    assert await late == "one"


async def test_customers_take_turns():
    places = Places(10, 5)
    await entering(places)
    order: list[str] = []

    async def call(ticket: Ticket) -> None:
        name = await entering(places, ticket=ticket)
        assert name is not None
        order.append(ticket.customer)
        places.leave("m", name)

    tickets = [ACME] * 3 + [GLOBEX] * 3 + [Ticket("acme", priority=1)]
    calls = [await started(asyncio.ensure_future(call(each))) for each in tickets]
    await asyncio.sleep(0)
    places.leave("m", "one")
    await asyncio.gather(*calls)
    assert order == ["acme", "globex", "acme", "globex", "globex", "acme", "acme"]


async def test_too_many_wait():
    places = Places(2, 5)
    await entering(places)
    waiting = [await started(entering(places)) for _ in range(2)]
    assert await entering(places) is None
    for each in waiting:
        places.leave("m", "one")
        assert await each == "one"


async def test_a_wait_has_its_deadline():
    places = Places(10, 0.02)
    await entering(places)
    assert await entering(places) is None
    assert len(places) == 0
    places.leave("m", "one")
    assert await entering(places) == "one"


@pytest.mark.parametrize("how", ["hangs up", "is cancelled"])
@pytest.mark.parametrize("granted", [True, False])
async def test_whoever_gives_up_leaves_the_line_and_takes_no_place(how, granted):
    """Also when the place came in the same moment."""
    places, person = Places(10, 5), Person()
    await entering(places)
    leaving = await started(entering(places, caller=person))
    next_one = await started(entering(places))
    if how == "hangs up":
        person.hung_up.set()
        await asyncio.sleep(0)
    else:
        leaving.cancel()
    if granted:
        places.leave("m", "one")
    with pytest.raises(CallerGoneError if how == "hangs up" else asyncio.CancelledError):
        await leaving
    if not granted:
        places.leave("m", "one")
    assert await next_one == "one"
    assert len(places) == 0


async def test_nobody_waits_once_it_is_closed():
    places = Places(10, 5)
    await entering(places)
    waiting = await started(entering(places))
    places.close()
    assert await waiting is None
    assert await entering(places) is None


async def test_waiting_makes_no_task():
    places = Places(100, 5)
    await entering(places)
    calls = [await started(entering(places)) for _ in range(50)]
    assert len(asyncio.all_tasks()) == len(calls) + 1
    places.close()
    await asyncio.gather(*calls)
