"""Throughput: tokens a minute that are reserved, parsed from ``[[throughput]]`` tables."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from steelyard.catalogue.items import reading
from steelyard.catalogue.items.kinds import Throughput
from steelyard.catalogue.names import Identifier, ModelId, Text
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet

INPUT_TPM, OUTPUT_TPM = 10_000, 1_000
"""For how many tokens a minute prices are written.

Source: Alibaba Cloud Model Studio, TPM reservation billing.
"""

_Hours = Annotated[int, msgspec.Meta(ge=0, le=720)]


class _Throughput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Identifier
    title: Text | None = None
    model: ModelId
    per: Literal["hour", "day"]
    input: object
    output: object
    late_hour: Annotated[int, msgspec.Meta(ge=0, le=24)] = 22
    stops_h: _Hours = 2
    keeps_h: _Hours = 14


def read(sheet: Sheet, currency: str) -> list[Found[Throughput]]:
    """The reservations that a contract's sheet sells; faulty ones are noted."""
    del currency
    found: list[Found[Throughput]] = []
    for row in shapes(sheet, "throughput", _Throughput):
        raw = row.value
        input_pico = reading.price(sheet, (*row.path, "input"), raw.input, INPUT_TPM)
        output_pico = reading.price(sheet, (*row.path, "output"), raw.output, OUTPUT_TPM)
        if input_pico is None or output_pico is None:
            continue
        throughput = Throughput(
            id=raw.id,
            title=raw.title or raw.id,
            model=raw.model,
            per=raw.per,
            input_pico=input_pico,
            output_pico=output_pico,
            late_hour=raw.late_hour,
            stops_h=raw.stops_h,
            keeps_h=raw.keeps_h,
        )
        found.append(Found(sheet, row.path, throughput))
    return found
