"""Fitting: whether an event can have happened to what it is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from steelyard.catalogue.documents import Contract
from steelyard.catalogue.items.kinds import (
    Bundle,
    Commitment,
    Dedicated,
    Fee,
    Item,
    Licence,
    Project,
    Savings,
    ServiceLevel,
    Throughput,
    Training,
)
from steelyard.catalogue.sheets import suggestion
from steelyard.rating.periods.dedicated import COUNT
from steelyard.rating.periods.levels import MS, PPM
from steelyard.rating.periods.projects import COINS
from steelyard.rating.periods.reported import BYTES, EPOCHS, MIXED
from steelyard.rating.periods.throughput import DAYS, INPUT, OUTPUT
from steelyard.values.events import Event, What

UNITS_MAX = 10**15
"""The most that an event counts: times hours and prices it still fits a line."""

NAME_CHARS_MAX, ID_CHARS_MAX, NOTE_CHARS_MAX = 64, 200, 1000

AT_MIN_US, AT_LIMIT_US = 946_684_800_000_000, 4_102_444_800_000_000
"""From 2000-01-01 on, and before 2100-01-01, UTC: months are charged one after the other."""

Verbs = Mapping[What, Collection[str]]
"""What can happen to an item, and what is counted then."""


def verbs(item: Item) -> Verbs:
    """What can happen to an item; nothing where all follows from the rest."""
    match item:
        case Fee():
            return {"begun": (item.meter,), "changed": (item.meter,), "ended": ()}
        case Savings():
            return {} if item.since else {"begun": ()}
        case Throughput():
            return {"begun": (INPUT, OUTPUT, DAYS)[: 3 if item.per == "day" else 2], "ended": ()}
        case Dedicated():
            return {"begun": (COUNT,), "ended": ()}
        case Project():
            return _of_project(item)
        case Licence():
            return {"reported": (COINS,) if item.share_ppm is not None else (*item.prices,)}
        case Training():
            return _of_training(item)
        case ServiceLevel():
            return {"measured": (PPM,) if item.measure == "availability" else (MS,)}
        case Commitment() | Bundle():
            return {}


def _of_project(item: Project) -> Verbs:
    prices = {"person_days": item.person_day_pico, "person_hours": item.person_hour_pico}
    work = [name for name, price_pico in prices.items() if price_pico is not None]
    found: dict[What, Collection[str]] = {"begun": (), "changed": (COINS,), "accepted": ()}
    found.update({"released": (), "ended": ()})
    if work:
        found["reported"] = work
    return found


def _of_training(item: Training) -> Verbs:
    reported = [name for name in item.prices if name != "byte_hours"]
    if "training_tokens" in item.prices:
        reported += [MIXED, EPOCHS]
    found: dict[What, Collection[str]] = {}
    if reported:
        found["reported"] = reported
    if "byte_hours" in item.prices:
        found.update({"begun": (BYTES,), "ended": ()})
    return found


def unfit(versions: Sequence[Contract], event: Event) -> tuple[str, str] | None:
    """Why an event can't be: the field that is wrong, and a sentence; None when it can."""
    if not 0 < len(event.id) <= ID_CHARS_MAX or len(event.note) > NOTE_CHARS_MAX:
        field = "note" if event.id and len(event.id) <= ID_CHARS_MAX else "id"
        most = NOTE_CHARS_MAX if field == "note" else ID_CHARS_MAX
        return field, f"write at most {most} characters, and an id of at least one"
    if not AT_MIN_US <= event.at_us < AT_LIMIT_US:
        return "at", "nothing is recorded of before 2000 or after 2099; is the year right?"
    named = {item.id: item for version in versions for item in version.items}
    if event.about not in named:
        hint = suggestion(event.about, named)
        return "about", f'contract {event.contract} has no fee or the like "{event.about}"{hint}'
    item = named[event.about]
    known = verbs(item)
    if event.what not in known:
        if not known:
            return "what", f'nothing is recorded of "{event.about}": it follows from the rest'
        return "what", f'"{event.about}" is not {event.what}; it is {", ".join(known)}'
    for name, units in event.units.items():
        if name not in known[event.what]:
            hint = suggestion(name, known[event.what])
            return "units", f'"{name}" is not counted here{hint}'
        if not (0 <= units <= UNITS_MAX or (name == COINS and -UNITS_MAX <= units < 0)):
            return "units", f"{name} is {units}; it is between 0 and {UNITS_MAX:,}"
    if event.what in {"reported", "measured"} and not event.units:
        counted = ", ".join(known[event.what])
        return "units", f"how much? Write units of {counted}"
    return _misnamed(item, event)


def _misnamed(item: Item, event: Event) -> tuple[str, str] | None:
    """Why an event's name can't be one, or is none that its item knows."""
    if len(event.name) > NAME_CHARS_MAX or not event.name.isprintable() or {*event.name} & {*"/:"}:
        reason = f"at most {NAME_CHARS_MAX} characters, no slash, no colon"
        return "name", f"a name becomes part of an account's: {reason}"
    known: list[str] = []
    if isinstance(item, Fee) and event.name:
        known = [plan.id for plan in item.plans]
    elif isinstance(item, Project) and event.what == "changed":
        if not event.name or COINS not in event.units:
            return "name", "a change order has a name, and its worth in coins"
        if any(event.name == each.id for each in item.milestones):
            return "name", f'"{event.name}" is a milestone; give the change order its own name'
    if known and event.name not in known:
        return "name", f'there is no plan "{event.name}"{suggestion(event.name, known)}'
    return None
