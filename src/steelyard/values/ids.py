"""Ids: UUIDv7 for calls made here, and ids of the same layout derived from content for imports."""

from __future__ import annotations

import hashlib
import struct
import uuid
from typing import Final

_VERSION: Final = 0x7 << 12
_VARIANT: Final = 0x2 << 62
_HASH = struct.Struct(">HQ")
_HALVES: Final = struct.Struct(">QQ")
"""An id, in halves that fit a machine's word."""


def uuid7(at_us: int, random_bits: int) -> bytes:
    """A UUIDv7: milliseconds since 1970 in front, then 74 random bits.

    Source: RFC 9562, section 5.7.
    """
    at_ms = (at_us // 1000) & (2**48 - 1)
    high = (at_ms << 16) | _VERSION | ((random_bits >> 62) & 0xFFF)
    return _HALVES.pack(high, _VARIANT | (random_bits & (2**62 - 1)))


def content_id(at_us: int, content: bytes) -> bytes:
    """An id with UUIDv7's layout whose random bits are a hash of ``content``.

    The same content at the same time always has the same id, so a second import adds nothing.
    """
    # What ``uuid7`` does with the first 74 of these 80 bits.
    first, rest = _HASH.unpack(hashlib.blake2b(content, digest_size=_HASH.size).digest())
    at_ms = (at_us // 1000) & (2**48 - 1)
    high = (at_ms << 16) | _VERSION | (first >> 4)
    return _HALVES.pack(high, _VARIANT | ((first & 0xF) << 58) | (rest >> 6))


def text(call_id: bytes) -> str:
    """An id as people write it: ``01934f2e-...``."""
    digits = call_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse(written: str) -> bytes:
    """The bytes of a written id.

    Raises: ValueError when it is no UUID.
    """
    return uuid.UUID(written).bytes
