"""Mooncake's traces of Kimi: JSON lines with prompts in blocks of 512 tokens.

Source: github kvcache-ai/Mooncake, FAST25-release/traces (``timestamp`` in milliseconds).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from steelyard.metering.traces.prefixes import Blocks, Count, decode_fault
from steelyard.metering.traces.rows import Fault, Format, Parse, Row

BLOCK_TOKENS = 512
_US_PER_MS = 1000


class _Call(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=10**13)]
    input_length: Count
    output_length: Count
    hash_ids: list[int]


def parser(_header: str) -> Parse:
    """Read one line at a time, remembering the blocks of those before."""
    decode = msgspec.json.Decoder(_Call).decode
    blocks = Blocks(BLOCK_TOKENS)

    def parse(line: str) -> Row | Fault:
        try:
            call = decode(line)
        except msgspec.DecodeError as exc:
            return decode_fault(line, exc)
        meters = blocks.meters(call.input_length, call.output_length, call.hash_ids)
        return Row(call.timestamp * _US_PER_MS, None, None, meters, line)

    return parse


FORMAT = Format(name="mooncake", parser=parser, header=False, absolute=False, models=False)
