"""Projects: advance, milestones, change orders, days of work, retention."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, NamedTuple

from steelyard.catalogue.items.kinds import Project
from steelyard.rating.periods import told
from steelyard.rating.periods.told import Due, Span, Told
from steelyard.values import money, periods
from steelyard.values.events import Event

FOREVER_US = 2**63 - 1

COINS = "coins"
"""What the event says that changes a project: what it is worth, in the smallest coins."""


def dues(item: Told[Project], span: Span) -> Iterator[Due]:
    """What is due of a project in a month."""
    for due in sorted(_all(item, span.end_us), key=lambda each: each.at_us):
        if span.holds(due.at_us):
            yield due


def _all(item: Told[Project], until_us: int) -> Iterator[Due]:
    """Everything that what happened before an instant leads to, also later.

    ``parts`` are those of the advance that have not been taken off a milestone, ``kept`` is what is
    retained and until when. A project begins once: its second advance would be another project's.
    """
    parts: dict[str, int] = {}
    orders: dict[str, int] = {}
    accepted: set[str] = set()
    kept: list[_Kept] = []
    state: Literal["agreed", "running", "over"] = "agreed"
    for event in item.events:
        project = item.at(event.at_us)
        if event.at_us >= until_us or project is None:
            break
        coin = money.coin_pico(item.currency)
        match event.what:
            case "begun" if state == "agreed":
                state = "running"
                parts = _advance(project, item.currency)
                yield from told.deposit(event.at_us, event.id, "advance", sum(parts.values()))
                yield from told.deposit(event.at_us, event.id, "budget", project.budget_pico)
            case "changed":
                orders[event.name] = event.units.get(COINS, 0) * coin
            case "accepted" if event.name not in accepted:
                worth_pico = _worth(project, orders, event.name)
                if worth_pico is None:
                    continue
                accepted.add(event.name)
                meter = "change_orders" if event.name in orders else "milestones"
                due = Due(event.at_us, event.id, meter, 1, 0, event.name)
                yield from told.amount(due, worth_pico)
                off = parts.pop(event.name, 0)
                yield from told.deposit(event.at_us, event.id, "advance", -off)
                held_pico = _retained(project, worth_pico, item.currency)
                kept.append(_kept(project, event, held_pico, item.zone))
                yield from told.deposit(event.at_us, event.id, "retention", -held_pico)
            case "released":
                early = [each for each in kept if each.until_us > event.at_us]
                kept = [each for each in kept if each.until_us <= event.at_us]
                held_pico = sum(each.amount_pico for each in early)
                yield from told.deposit(event.at_us, event.id, "retention", held_pico)
            case "reported":
                yield from _work(project, event)
            case "ended" if state == "running":
                yield from told.deposit(event.at_us, event.id, "advance", -sum(parts.values()))
                state, parts = "over", {}
            case _:
                pass
    for each in kept:
        yield from told.deposit(each.until_us, each.occasion, "retention", each.amount_pico)


class _Kept(NamedTuple):
    """What is retained of a milestone, until when unless it is released before. Unit: µs; pico."""

    until_us: int
    occasion: str
    amount_pico: int


def _kept(project: Project, event: Event, amount_pico: int, zone: str) -> _Kept:
    until_us = FOREVER_US
    if project.retention_days is not None:
        day = periods.day_of(event.at_us, zone) + timedelta(days=project.retention_days)
        until_us = periods.midnight_us(day, zone)
    return _Kept(until_us, f"{event.id} kept", amount_pico)


def _advance(project: Project, currency: str) -> dict[str, int]:
    """The advance of all milestones, as it is taken off each of them: whole coins, none lost."""
    worths = [each.amount_pico for each in project.milestones]
    advance = money.to_coin(sum(worths) * project.advance_ppm, money.PER_MILLION, currency)
    if not advance:
        return {}
    coin = money.coin_pico(currency)
    shares = money.share(advance // coin, worths)
    return {each.id: share * coin for each, share in zip(project.milestones, shares, strict=True)}


def _worth(project: Project, orders: dict[str, int], name: str) -> int | None:
    if name in orders:
        return orders[name]
    return next((each.amount_pico for each in project.milestones if each.id == name), None)


def _retained(project: Project, worth_pico: int, currency: str) -> int:
    return money.to_coin(worth_pico * project.retention_ppm, money.PER_MILLION, currency)


def _work(project: Project, event: Event) -> Iterator[Due]:
    prices = (("person_days", project.person_day_pico), ("person_hours", project.person_hour_pico))
    for meter, price_pico in prices:
        units = event.units.get(meter, 0)
        if units and price_pico is not None:
            yield Due(event.at_us, event.id, meter, units, price_pico, event.name)
