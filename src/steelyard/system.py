"""System: the machine's clocks and chance, which everything else is given."""

from __future__ import annotations

import secrets
import struct
import time
from typing import Final

IDS_AHEAD: Final = 256
"""For how many calls randomness is asked of the system at a time: their ids are no secret."""

_ID_BITS: Final = struct.Struct(">HQ")


class SystemClock:
    """The machine's own clocks."""

    def wall_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Microseconds since the machine started."""
        return time.monotonic_ns() // 1000


class Chance:
    """The machine's own randomness."""

    def __init__(self) -> None:
        self._ahead: list[int] = []

    def id_bits(self) -> int:
        """The bits of one call's id after another's."""
        ahead = self._ahead
        if not ahead:
            taken = secrets.token_bytes(IDS_AHEAD * _ID_BITS.size)
            ahead.extend([high << 64 | low for high, low in _ID_BITS.iter_unpack(taken)])
        return ahead.pop()
