"""Frames: how the journal's bytes are laid out, and nothing about files.

A segment is MAGIC, then frames. A frame is kind (1 byte), length and CRC-32 of the payload (4 + 4),
CRC-32 of these nine bytes seeded with the frame's offset (4), the payload, and a newline. Integers
are little-endian, payloads msgpack. No valid kind and no end is one flipped bit away from zero, so
that space taken in advance (zeros), a torn write (a beginning, then zeros) and damage (anything
else) can be told apart.
"""

from __future__ import annotations

import struct
from typing import Literal
from zlib import crc32

import msgspec

from steelyard.values.facts import Fact
from steelyard.values.usage import Announcement, UsageRecord

MAGIC = b"STLYARD1"
END = b"\n"

HEAD = b"H"
ANNOUNCEMENT = b"A"
RECORD = b"R"
BLOCK = b"B"
SEAL = b"S"
FACT = b"F"
KINDS = HEAD + ANNOUNCEMENT + RECORD + BLOCK + SEAL + FACT

FRAME_BYTES_MAX = 16 << 20
BLOCK_RECORDS_MAX = 4096

FRONT = struct.Struct("<cII")
CHECK = struct.Struct("<I")
HEAD_BYTES_MAX = 1024
HEADER_BYTES = FRONT.size + CHECK.size
AROUND_BYTES = HEADER_BYTES + len(END)
_SEAL = struct.Struct("<QQQqQ?32s")
SEAL_BYTES = AROUND_BYTES + _SEAL.size
OFFSET_MASK = 0xFFFFFFFF


class Head(msgspec.Struct, frozen=True, array_like=True):
    """A segment's first frame: whose it is, which in line, and the hash of the one before.

    ``previous`` is the SHA-256 in the seal of the segment before; zeros in a writer's first.
    """

    version: Literal[1]
    writer: str
    sequence: int
    at_us: int
    previous: bytes


class Seal(msgspec.Struct, frozen=True):
    """A segment's last frame: what is before it, counted and hashed.

    ``running`` counts the calls announced and not recorded: the next segment goes on with them.
    ``cut`` is how many bytes of a torn write recovery removed; ``recovered`` that it sealed.
    Unit: ``at_us`` microseconds since 1970-01-01 UTC. ``sha256`` covers every byte before the seal.
    """

    frames: int
    records: int
    running: int
    at_us: int
    cut: int
    recovered: bool
    sha256: bytes


Item = Announcement | UsageRecord | tuple[UsageRecord, ...] | Fact | Seal
"""What a reader gets, one a frame."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """A frame's beginning, its own checksum found right."""

    kind: bytes
    length: int
    payload_crc: int


encode = msgspec.msgpack.Encoder().encode
decode_announcement = msgspec.msgpack.Decoder(Announcement).decode
decode_record = msgspec.msgpack.Decoder(UsageRecord).decode
decode_block = msgspec.msgpack.Decoder(tuple[UsageRecord, ...]).decode
decode_fact = msgspec.msgpack.Decoder(Fact).decode
decode_head = msgspec.msgpack.Decoder(Head).decode


def header(data: memoryview, offset: int) -> Header | None:
    """The header at the beginning of ``data``; None when its checksum or kind is wrong.

    ``data`` has at least HEADER_BYTES; ``offset`` is where in the segment it begins.
    """
    front = data[: FRONT.size]
    (check,) = CHECK.unpack_from(data, FRONT.size)
    if crc32(front, offset & OFFSET_MASK) != check:
        return None
    kind, length, payload_crc = FRONT.unpack(front)
    if kind not in KINDS or length > FRAME_BYTES_MAX:
        return None
    return Header(kind, length, payload_crc)


def pack_seal(seal: Seal) -> bytes:
    """A seal's payload; all seals have the same size, so that its room can be kept."""
    return _SEAL.pack(
        seal.frames,
        seal.records,
        seal.running,
        seal.at_us,
        seal.cut,
        seal.recovered,
        seal.sha256,
    )


def unpack_seal(payload: memoryview | bytes) -> Seal:
    """The seal in a payload.

    Raises: msgspec.DecodeError when the payload has another size.
    """
    if len(payload) != _SEAL.size:
        msg = f"a seal has {_SEAL.size} bytes, not {len(payload)}"
        raise msgspec.DecodeError(msg)
    return Seal(*_SEAL.unpack(payload))


def item(kind: bytes, payload: memoryview) -> Item:
    """What a frame of this kind holds.

    Raises: msgspec.DecodeError or its child ValidationError.
    """
    if kind == RECORD:
        return decode_record(payload)
    if kind == ANNOUNCEMENT:
        return decode_announcement(payload)
    if kind == BLOCK:
        return decode_block(payload)
    if kind == FACT:
        return decode_fact(payload)
    if kind == SEAL:
        return unpack_seal(payload)
    msg = "a head inside a segment"
    raise msgspec.DecodeError(msg)
