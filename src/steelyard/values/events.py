"""Events: what happens to a contract and is no call, as facts of the journal say it."""

from __future__ import annotations

from typing import Literal

import msgspec

from steelyard.values.facts import Fact
from steelyard.values.ids import content_id

KIND = "event"
"""What such a fact's ``kind`` is; its body is an Event as JSON."""

What = Literal["begun", "ended", "changed", "accepted", "released", "reported", "measured"]
"""What happened: something began or ended (a subscription, a reservation, a deployment, a file
that is kept); it was changed (another plan, other seats, a change order); a milestone was accepted;
what was retained was released; use was reported; a service was measured."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened under a contract, said once.

    Unit: ``at_us`` µs since 1970-01-01 UTC, when it happened. ``id`` is given by whoever records it
    and is the event's own under its contract: to say it again changes nothing, to say something
    else under it is refused. ``about`` is the ``id`` of a table of the contract, ``name`` which of
    several it is (a plan, a milestone, a resource). ``units`` are counts by what is counted.
    """

    id: str
    at_us: int
    contract: str
    about: str
    what: What
    name: str = ""
    units: dict[str, int] = {}
    note: str = ""


def order(event: Event) -> tuple[int, str]:
    """The order in which events hold: by their time, and of one instant by their id."""
    return (event.at_us, event.id)


def fact(event: Event, at_us: int, by: str) -> Fact:
    """An event as a fact of the journal, written down at ``at_us``: its id follows from its own."""
    told = f"{event.contract}\0{event.id}".encode()
    body = msgspec.json.encode(event).decode()
    return Fact(fact_id=content_id(0, told), at_us=at_us, kind=KIND, body=body, by=by)


def of_fact(found: Fact) -> Event | None:
    """The event that a fact says; None when it is a fact of another kind."""
    return _decode(found.body) if found.kind == KIND else None


_decode = msgspec.json.Decoder(Event).decode
