"""Prefixes: traces in JSON lines that name the blocks of each prompt, and so what was cached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from steelyard.metering.traces.rows import COUNT_MAX, Fault, TraceError

BLOCKS_MAX = 20_000_000
"""How many distinct blocks of a trace are remembered, at about 100 bytes each."""

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]

_BYTE = re.compile(r"\(byte (\d+)\)")
_FIELD = re.compile(r"`\$\.(\w+)")


class Blocks:
    """The blocks seen in a trace so far. Unit: ``size`` tokens a block."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: set[int] = set()

    def meters(
        self, input_length: int, output_length: int, blocks: Sequence[int]
    ) -> dict[str, int]:
        """Weigh a call: the leading blocks of its prompt that were seen before are cached.

        Raises: TraceError when there are too many blocks to remember.
        """
        leading = 0
        for block in blocks:
            if block not in self._seen:
                break
            leading += 1
        self._seen.update(blocks[leading:])
        if len(self._seen) > BLOCKS_MAX:
            msg = f"the trace has more than {BLOCKS_MAX:,} distinct blocks; import it in parts"
            raise TraceError(msg)
        cached = min(leading * self._size, input_length)
        return {
            "input_tokens": input_length - cached,
            "cached_input_tokens": cached,
            "output_tokens": output_length,
            "requests": 1,
        }


def decode_fault(line: str, exc: msgspec.DecodeError) -> Fault:
    """Why a line is not the JSON that was expected, and where."""
    told = str(exc)
    if byte := _BYTE.search(told):
        before = line.encode()[: int(byte.group(1))]
        column = len(before.decode(errors="ignore")) + 1
    elif field := _FIELD.search(told):
        column = line.find(f'"{field.group(1)}"') + 1
    else:
        column = len(line) + 1 if "truncated" in told else 1
    return Fault(max(column, 1), told)
