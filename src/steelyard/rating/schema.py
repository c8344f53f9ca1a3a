"""Schema: charge lines as columns. Apart from the lines, whose readers may do without Arrow."""

from __future__ import annotations

import pyarrow as pa

WORD = pa.dictionary(pa.int32(), pa.string())
"""The type of a column of words."""

SCHEMA = pa.schema(
    [
        pa.field("call_id", pa.dictionary(pa.int32(), pa.binary(16)), nullable=False),
        pa.field("at_us", pa.int64(), nullable=False),
        pa.field("period", WORD, nullable=False),
        pa.field("customer", WORD, nullable=False),
        pa.field("contract", WORD, nullable=False),
        pa.field("model", WORD, nullable=False),
        pa.field("deployment", WORD, nullable=False),
        pa.field("side", WORD, nullable=False),
        pa.field("component", WORD, nullable=False),
        pa.field("party", WORD, nullable=False),
        pa.field("meter", WORD, nullable=False),
        pa.field("units", pa.int64(), nullable=False),
        pa.field("price_pico", pa.int64(), nullable=False),
        pa.field("amount_pico", pa.decimal128(38, 0), nullable=False),
        pa.field("currency", WORD, nullable=False),
        pa.field("version", WORD, nullable=False),
    ]
)
"""The columns of a batch's Parquet file, in their order."""

CORRECTION_SCHEMA = (
    SCHEMA.append(pa.field("corrects", pa.int64(), nullable=False))
    .append(pa.field("of_period", WORD, nullable=False))
    .append(pa.field("calls", pa.int64(), nullable=False))
)
"""Those of a correction's: also the batch of the call whose lines are corrected, the period in
which that call was booked, and by how much the number of its lines changes."""
