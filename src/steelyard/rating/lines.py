"""Charge lines: one meter of one call, priced. The same shape as a value and as columns."""

from __future__ import annotations

from typing import Literal

import msgspec
import pyarrow as pa

Side = Literal["charge", "cost"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One meter of one call under one version of the documents.

    Unit: ``price_pico`` pico-units of ``currency`` per unit of ``meter``; ``amount_pico`` is their
    product. ``side`` is ``charge`` (what the customer pays) or ``cost`` (what ``party`` earns for
    ``component``). A charge has no component; its party is the customer.
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


_WORD = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("call_id", pa.dictionary(pa.int32(), pa.binary(16)), nullable=False),
        pa.field("at_us", pa.int64(), nullable=False),
        pa.field("period", _WORD, nullable=False),
        pa.field("customer", _WORD, nullable=False),
        pa.field("contract", _WORD, nullable=False),
        pa.field("model", _WORD, nullable=False),
        pa.field("deployment", _WORD, nullable=False),
        pa.field("side", _WORD, nullable=False),
        pa.field("component", _WORD, nullable=False),
        pa.field("party", _WORD, nullable=False),
        pa.field("meter", _WORD, nullable=False),
        pa.field("units", pa.int64(), nullable=False),
        pa.field("price_pico", pa.int64(), nullable=False),
        pa.field("amount_pico", pa.decimal128(38, 0), nullable=False),
        pa.field("currency", _WORD, nullable=False),
        pa.field("version", _WORD, nullable=False),
    ]
)
"""The columns of a batch's Parquet file, in their order."""
