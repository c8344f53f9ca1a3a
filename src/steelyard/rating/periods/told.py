"""Told: what one item is, version by version, and what happened to it; and what is due of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from steelyard.catalogue.items.kinds import Item
from steelyard.rating.lines import Side
from steelyard.values import money
from steelyard.values.events import Event
from steelyard.values.money import PRICE_LIMIT_PICO
from steelyard.values.periods import Month

HOUR_US = 3_600_000_000

I = TypeVar("I", bound=Item)  # noqa: E741 - an item

Deposit = Literal["advance", "retention", "deferred", "budget", "prepaid"]
"""Which account of the customer's a deposit goes to, or comes from."""


class Due(NamedTuple):
    """One thing that is due at an instant. Unit: ``price_pico`` pico-units for one of ``units``.

    ``occasion`` tells apart what is due of an item at different times or by different events.
    ``name`` is what of the item it is for. Units that are given back are negative.
    """

    at_us: int
    occasion: str
    meter: str
    units: int
    price_pico: int
    name: str = ""
    side: Side = "charge"
    component: str = ""
    party: str = ""

    @property
    def amount_pico(self) -> int:
        """Units times price."""
        return self.units * self.price_pico


class Span(NamedTuple):
    """A month of a contract. Unit: µs since 1970-01-01 UTC, half-open."""

    month: Month
    start_us: int
    end_us: int

    def holds(self, at_us: int) -> bool:
        """Whether an instant is in it."""
        return self.start_us <= at_us < self.end_us


class Told(NamedTuple, Generic[I]):
    """An item as each version of its contract has it, and its events, both in their order.

    A version without the item has None: from then on nothing is due of it.
    """

    contract: str
    currency: str
    zone: str
    versions: tuple[tuple[int, I | None], ...]
    events: tuple[Event, ...]

    def at(self, at_us: int) -> I | None:
        """The item as it is at an instant; before its first version, as that one has it."""
        found = self.versions[0][1]
        for from_us, item in self.versions:
            if from_us <= at_us:
                found = item
        return found


class Charged(NamedTuple):
    """Charges that are alike, added up. Unit: pico-units. ``by_call``: they are of calls."""

    model: str
    meter: str
    units: int
    amount_pico: int
    by_call: bool = True


Used = Callable[[Month, int, int], Sequence[Charged]]
"""What was charged under a contract in a month, from one instant of it to another."""


class Stretch(NamedTuple):
    """Something that began and ended, or goes on. ``began`` is what said so; None: the contract."""

    name: str
    begin_us: int
    end_us: int | None
    began: Event | None


def stretches(
    events: Sequence[Event], since_us: int | None = None, *, alone: bool = False
) -> list[Stretch]:
    """What began and ended, each name by itself. To begin again what runs changes nothing.

    ``alone``: there is one at a time, whatever its name.
    """
    open_: dict[str, Stretch] = {}
    done: list[Stretch] = []
    if since_us is not None:
        open_[""] = Stretch("", since_us, None, None)
    for event in events:
        name = "" if alone else event.name
        if event.what == "begun" and name not in open_:
            open_[name] = Stretch(name, event.at_us, None, event)
        elif event.what == "ended" and name in open_:
            running = open_.pop(name)
            done.append(running._replace(end_us=max(event.at_us, running.begin_us)))
    return sorted([*done, *open_.values()], key=lambda each: (each.begin_us, each.name))


def hours(begin_us: int, until_us: int) -> int:
    """The hours from one instant to another; one that has begun is a whole one."""
    return money.divide_up(max(until_us - begin_us, 0), HOUR_US)


def amount(due: Due, amount_pico: int) -> Iterator[Due]:
    """An amount as units times a price: one unit of it, if a price can be so high.

    Else ten, a hundred, ... units; what does not divide so is in a second line.
    """
    units = 1 if amount_pico >= 0 else -1
    price_pico, rest_pico = abs(amount_pico), 0
    while price_pico > PRICE_LIMIT_PICO:
        units *= 10
        price_pico, rest_pico = divmod(abs(amount_pico), abs(units))
    yield due._replace(units=units, price_pico=price_pico)
    if rest_pico:
        yield due._replace(units=1 if units > 0 else -1, price_pico=rest_pico)


def deposit(at_us: int, occasion: str, account: Deposit, amount_pico: int) -> Iterator[Due]:
    """What is paid before it is earned, or comes back (a negative amount); nothing of nothing."""
    if amount_pico:
        due = Due(at_us, occasion, "deposits", 1, 0, side="deposit", component=account)
        yield from amount(due, amount_pico)
