"""Reported: what licences and training cost by what is reported, and files by how long they lie."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.catalogue.items.kinds import Licence, Training
from steelyard.rating.periods import told
from steelyard.rating.periods.held import held
from steelyard.rating.periods.told import Due, Span, Told
from steelyard.values import money
from steelyard.values.events import Event
from steelyard.values.meters import ALL_METERS

COINS, BYTES = "coins", "bytes"
"""What events say: somebody's revenue in its smallest coins, and how large a file is."""

MIXED, EPOCHS, TRAINED = "mixed_tokens", "epochs", "training_tokens"


def licence(item: Told[Licence], span: Span) -> Iterator[Due]:
    """A part of the revenue that is reported and what it is short of the least, or prices."""
    for event in _reported(item, span):
        sold = item.at(event.at_us)
        if sold is None:
            continue
        if sold.share_ppm is not None and event.units.get(COINS):
            # A coin is at least 10¹⁰ pico-units, so a millionth of it is exact.
            price_pico, rest = divmod(
                money.coin_pico(item.currency) * sold.share_ppm, money.PER_MILLION
            )
            assert rest == 0
            units = event.units[COINS]
            yield Due(event.at_us, event.id, "revenue", units, price_pico, event.name)
            short_pico = sold.least_pico - units * price_pico
            if short_pico > 0:
                due = Due(event.at_us, event.id, "shortfalls", 1, 0, event.name)
                yield from told.amount(due, short_pico)
        yield from _priced(sold.prices, event, event.units)


def training(item: Told[Training], span: Span) -> Iterator[Due]:
    """Tokens × epochs, hours and days as they are reported; byte-hours of what is kept."""
    for event in _reported(item, span):
        sold = item.at(event.at_us)
        if sold is not None:
            yield from _priced(sold.prices, event, _trained(event))
    for each in held(item, span):
        sold, began = item.at(each.at_us), each.stretch.began
        if sold is None or began is None or "byte_hours" not in sold.prices:
            continue
        units = began.units.get(BYTES, 0) * each.hours
        price_pico = sold.prices["byte_hours"]
        yield Due(each.at_us, each.occasion, "byte_hours", units, price_pico, began.name)


def _reported(item: Told[Licence] | Told[Training], span: Span) -> Iterator[Event]:
    return (each for each in item.events if each.what == "reported" and span.holds(each.at_us))


def _trained(event: Event) -> dict[str, int]:
    """(Training tokens + mixed-in tokens) × epochs; the rest as it was reported."""
    units = dict(event.units)
    tokens = units.pop(TRAINED, 0) + units.pop(MIXED, 0)
    return {TRAINED: tokens * units.pop(EPOCHS, 1), **units}


def _priced(prices: dict[str, int], event: Event, units: dict[str, int]) -> Iterator[Due]:
    for meter in ALL_METERS:
        if meter in prices and units.get(meter):
            yield Due(event.at_us, event.id, meter, units[meter], prices[meter], event.name)
