"""Costs: what a call is charged, told to its caller as the invoice will have it."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from steelyard.catalogue.offers import Offer
from steelyard.dispatch.calls import Headers
from steelyard.rating import scalar
from steelyard.values import money
from steelyard.values.usage import UsageRecord

PLACE = b',"cost":' + b" " * 64
"""Where a cost will be written: what is sent has the same length whatever it is."""

_EVENT = msgspec.json.Decoder(dict[str, Raw])
_DATA = b"data:"


def headers(price_pico: int, currency: str) -> Headers:
    """The price of a whole answer, in its head. Unit: the contract's currency, every digit."""
    price = money.exact(price_pico)
    return f"x-steelyard-price: {price}\r\nx-steelyard-currency: {currency}\r\n"


def held_from(events: bytes) -> int | None:
    """From where on events wait for the cost: the last usage, with nothing but ``[DONE]`` after."""
    last = events.rfind(_DATA)
    if last >= 0 and b"[DONE]" in events[last:]:
        before = events.rfind(_DATA, 0, last)
        return before if before >= 0 and _has_usage(events[before:last]) else None
    return last if last >= 0 and _has_usage(events[last:]) else None


def with_place(events: bytes) -> bytes:
    """Events with a place for the cost in their last usage; the same where they tell none."""
    held = held_from(events)
    start = events.find(_DATA, held or 0)
    end = events.find(b"\n", start)
    try:
        usage = bytes(_EVENT.decode(events[start + len(_DATA) : end])["usage"])
    except (KeyError, msgspec.DecodeError):
        return events
    if not usage.endswith(b"}") or len(usage) <= len(b"{}"):
        return events
    return events[:start] + events[start:].replace(usage, usage[:-1] + PLACE + b"}", 1)


def filled(events: bytes, record: UsageRecord, offer: Offer) -> bytes:
    """Events with the cost in its place, should they have one."""
    if PLACE not in events:
        return events
    price = money.exact(scalar.price_pico(record, offer))
    told = f',"cost":"{price}","currency":"{offer.currency}"'.encode()
    return events.replace(PLACE, told.ljust(len(PLACE)), 1)


def _has_usage(event: bytes) -> bool:
    return b'"usage"' in event and b'"usage":null' not in event
