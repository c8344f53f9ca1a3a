"""Charge lines: one meter of one call, priced."""

from __future__ import annotations

from typing import Literal

import msgspec

Side = Literal["charge", "cost", "deposit"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One meter of one call under one version of the documents.

    Unit: ``price_pico`` pico-units of ``currency`` per unit of ``meter``; ``amount_pico`` is their
    product. ``side`` is ``charge`` (what the customer pays), ``cost`` (what ``party`` earns for
    ``component``) or ``deposit`` (what the customer pays before it is earned; of negative units,
    what is taken off a charge again; ``component`` is the account on which it stands meanwhile).
    A charge has no component; its party is the customer.
    ``period`` is the month of the call in the contract's zone.
    """

    call_id: bytes
    at_us: int
    period: str
    customer: str
    contract: str
    model: str
    deployment: str
    side: Side
    component: str
    party: str
    meter: str
    units: int
    price_pico: int
    amount_pico: int
    currency: str
    version: str


UNITS_LIMIT = 2**60 - 1
"""The most units of a meter that a call can have: all meters of a prompt still sum in 64 bits."""

AT_LIMIT_US = 250_000_000_000_000_000
"""The first instant (in the year 9892) that is no more taken for the time of a call."""

Reason = Literal["edition", "contract", "time", "units", "model"]
"""Why a call has no lines: its edition is not known; the edition has no such contract; no version
of the contract is in force at its time; a count is negative or beyond ``UNITS_LIMIT``; the contract
does not sell the model. They are looked for in this order."""


class Unrated(msgspec.Struct, frozen=True, kw_only=True):
    """A call that could not be rated; ``row`` is its place in the batch, from 0."""

    row: int
    call_id: bytes
    reason: Reason


class Total(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """The exact sum of a batch's lines that go the same way. Unit: pico-units."""

    period: str
    side: Side
    customer: str
    contract: str
    model: str
    component: str
    party: str
    currency: str
    amount_pico: int


class LineSum(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Lines that are alike in all but call and time, added up: what documents are made from.

    Unit: ``amount_pico`` is the exact sum, and still ``units × price_pico``. ``calls`` counts the
    lines, of which a call has one for each meter.
    """

    period: str
    side: Side
    customer: str
    contract: str
    model: str
    component: str
    party: str
    meter: str
    price_pico: int
    currency: str
    version: str
    units: int
    amount_pico: int
    calls: int
    of_period: str = ""
    """The earlier month that is corrected; empty for what belongs to its own."""
