"""Queueing: whose call goes next where calls wait for a place."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

TURN = 720_720
"""What a call of weight 1 moves its customer on, of weight 2 half of that; 1 to 16 divide it."""


class _Place(NamedTuple):
    """Where somebody stands: the smallest is first."""

    rank: int
    turn: int
    number: int


class Line(Generic[T]):
    """Those who wait, the higher priority first, and then customers in turn.

    In the long run each customer that waits goes as often as it weighs, whatever it has waiting.
    One that has not waited for a while has saved nothing up. Who waits twice is two.

    Source: start-time fair queueing (Goyal, Vin, Cheng), each call of one size.
    """

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._who: dict[int, tuple[T, _Place]] = {}
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._number = 0

    def __len__(self) -> int:
        return len(self._places)

    def join(self, who: T, customer: str, weight: int = 1, priority: int = 0) -> int:
        """Stand in line; the number by which to leave it."""
        assert weight >= 1
        if not self._places:
            self._turns.clear()
            self._turn = 0
        turn = max(self._turn, self._turns.get(customer, 0)) + TURN // weight
        self._turns[customer] = turn
        self._number += 1
        place = _Place(-priority, turn, self._number)
        insort(self._places, place)
        self._who[self._number] = who, place
        return self._number

    def leave(self, number: int) -> None:
        """Wait no longer; nothing, for one that went."""
        found = self._who.pop(number, None)
        if found is not None:
            del self._places[bisect_left(self._places, found[1])]

    def next(self, may: Callable[[T], bool]) -> T | None:
        """The first who may go, out of the line; None when there is none."""
        for place in self._places:
            who, _ = self._who[place.number]
            if may(who):
                self._turn = max(self._turn, place.turn)
                self.leave(place.number)
                return who
        return None
