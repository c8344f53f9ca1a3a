"""Alibaba Bailian's traces of Qwen: JSON lines with prompts in blocks of 16 tokens.

Source: github alibaba-edu/qwen-bailian-usagetraces-anon (``timestamp`` in seconds).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from steelyard.metering.traces.instants import seconds_us
from steelyard.metering.traces.prefixes import Blocks, Count, decode_fault
from steelyard.metering.traces.rows import Fault, Format, Parse, Row

BLOCK_TOKENS = 16


class _Call(msgspec.Struct, frozen=True):
    # A row's ``chat_id``, ``parent_chat_id``, ``type`` and ``turn`` weigh nothing.
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=10**10)]
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
        return Row(seconds_us(call.timestamp), None, None, meters, line)

    return parse


FORMAT = Format(name="qwen-bailian", parser=parser, header=False, absolute=False, models=False)
