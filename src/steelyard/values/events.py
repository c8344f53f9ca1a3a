"""Events: what happens to a contract and is no call, as facts of the journal say it."""

from __future__ import annotations

from typing import Literal

import msgspec

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
