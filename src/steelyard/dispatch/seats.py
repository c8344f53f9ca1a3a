"""Seats: the places at deployments that one call has, waits for, and gives back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from steelyard.dispatch.places import Gone, Places, Ticket
from steelyard.dispatch.snapshot import Choice


class Seats:
    """What a call takes of deployments' capacities; each attempt has one place while it flies."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._taken: list[Choice] = []

    async def next(
        self, full: Choice, ways: Iterator[Choice], ticket: Ticket, gone: Gone
    ) -> tuple[Choice, Iterator[Choice]] | None:
        """Take a place at the next deployment that has one, and say who is left to ask after it.

        Where all of the full one's model are full the call waits for any of them, rather than be
        answered by another model. None when it took too long. Raises: CallerGoneError.
        """
        alike = [full]
        for choice in ways:
            if choice.deployment.model != full.deployment.model:
                ways = chain((choice,), ways)
                break
            alike.append(choice)
        model = full.deployment.model
        wanted = {each.deployment.id: each.deployment.capacity for each in alike}
        name = await self._places.enter(model, wanted, ticket, gone)
        if name is None:
            return None
        chosen = next(each for each in alike if each.deployment.id == name)
        self._taken.append(chosen)
        return chosen, chain((each for each in alike if each is not chosen), ways)

    def has_room(self, choice: Choice) -> bool:
        """Whether a deployment has a place now."""
        capacity = choice.deployment.capacity
        return capacity is None or self._places.taken(choice.deployment.id) < capacity

    def take(self, choice: Choice) -> bool:
        """Take a place at a deployment, if it has one."""
        capacity = choice.deployment.capacity
        if capacity is None:
            return True
        if not self._places.takes(choice.deployment.id, capacity):
            return False
        self._taken.append(choice)
        return True

    def leave(self, choice: Choice) -> None:
        """Give a place back."""
        if choice in self._taken:
            self._taken.remove(choice)
            self._places.leave(choice.deployment.model, choice.deployment.id)

    def leave_all(self) -> None:
        """Give back what is left: the places of attempts that were not made."""
        while self._taken:
            self.leave(self._taken[-1])
