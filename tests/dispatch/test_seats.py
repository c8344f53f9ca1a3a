"""Places at deployments: the first free one, or whichever is free next; never another model's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from steelyard.dispatch.places import Places, Ticket
from steelyard.dispatch.seats import Seats
from steelyard.dispatch.snapshot import Choice, choices
from tests.dispatch.studio import KEY, deployment, snapshot
from tests.rating.documents import us

ACME = Ticket("acme")
SOLD = next(choices(snapshot(), KEY, "m", us("2026-11-24T00:00:00Z")))


def choice(name: str, capacity: int | None = 1, model: str = "m") -> Choice:
    made = msgspec.structs.replace(deployment(name, model), capacity=capacity)
    return Choice(made, SOLD.offer)


ONE, TWO, OTHER = choice("one"), choice("two"), choice("other", None, "another model")
WAYS = (ONE, TWO, OTHER)


async def never() -> None:
    await asyncio.Event().wait()


async def first(seats: Seats, ways: Iterator[Choice]):
    choice = next(ways)
    return (choice, ways) if seats.take(choice) else await seats.next(choice, ways, ACME, never)


async def seated(places: Places) -> tuple[str, list[str], Seats]:
    """Where a call sits, and whom it could ask after that."""
    seats = Seats(places)
    ways = iter(WAYS)
    found = await first(seats, ways)
    assert found is not None
    chosen, left = found
    return chosen.deployment.id, [each.deployment.id for each in left], seats


async def test_the_first_that_has_a_place():
    places = Places(0, 1)
    assert (await seated(places))[:2] == ("one", ["two", "other"])
    assert (await seated(places))[:2] == ("two", ["one", "other"])
    assert await first(Seats(places), iter(WAYS)) is None


async def test_whichever_is_free_next_and_not_another_model():
    places = Places(5, 5)
    _, _, first = await seated(places)
    _, _, second = await seated(places)
    waiting = asyncio.ensure_future(seated(places))
    await asyncio.sleep(0)
    second.leave_all()
    name, left, third = await waiting
    assert (name, left) == ("two", ["one", "other"])
    first.leave(ONE)
    third.leave_all()
    third.leave_all()
    assert [places.taken(each.deployment.id) for each in WAYS] == [0, 0, 0]


async def test_attempts_that_follow_do_not_wait():
    places = Places(5, 5)
    await seated(places)
    seats = Seats(places)
    assert not seats.has_room(ONE)
    assert not seats.take(ONE)
    assert seats.take(TWO)
    assert all(seats.take(OTHER) for _ in range(100))
