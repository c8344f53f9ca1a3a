"""Schema: charge lines as columns. Apart from the lines, whose readers may do without Arrow."""

from __future__ import annotations

import pyarrow as pa

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
