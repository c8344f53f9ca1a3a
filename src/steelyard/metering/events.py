"""Events: what one server-sent event of a stream is, and what of usage it tells."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from msgspec import Raw

from steelyard.metering.alike import NO_USAGE

_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|"usage"\s*:\s*null\s*,?')
_TIER = re.compile(rb'"(\w{1,32})"')
_MARKS = (b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"error"', b"[DONE]")

Usage = dict[str, object]


class Told(NamedTuple):
    """What an event tells of usage; ``left`` is its payload without that, None when it is empty."""

    usage: list[Usage]
    left: bytes | None
    service_tier: str | None = None


class _Alone(msgspec.Struct):
    """A chunk that may tell nothing but usage."""

    usage: Usage | None = None
    choices: tuple[Raw, ...] = (Raw(b"{}"),)
    service_tier: object = None


_ALONE = msgspec.json.Decoder(_Alone)
_TABLE = msgspec.json.Decoder(dict[str, Raw])
_CHOICES = msgspec.json.Decoder(list[dict[str, Raw]])
_USAGE = msgspec.json.Decoder(Usage | None)


def usage_of(payload: bytes) -> Told:
    """What a payload that speaks of usage tells of it."""
    alone = None if b'"error"' in payload else _alone(payload)
    if alone is not None:
        return alone
    left = payload.replace(NO_USAGE, b"")
    if b'"usage"' in left:
        left = _NULL_USAGE.sub(b"", left)
    return _of_choices(left) if b'"usage"' in left else Told([], left)


def _alone(payload: bytes) -> Told | None:
    """The usage of a chunk that tells nothing else; None when it may."""
    try:
        told = _ALONE.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return None
    if told.choices or not told.usage or told.service_tier is not None:
        return None
    return Told([told.usage], None)


def _of_choices(payload: bytes) -> Told:
    """The usage that a chunk tells, or any of its choices."""
    try:
        chunk = _TABLE.decode(payload)
        choices = _CHOICES.decode(chunk.get("choices", b"[]"))
        told = [_USAGE.decode(choice.pop("usage")) for choice in choices if "usage" in choice]
        told.append(_USAGE.decode(chunk.pop("usage", b"null")))
    except (msgspec.DecodeError, RecursionError):
        return Told([], payload)
    found = [usage for usage in told if usage]
    if not found:
        return Told([], payload)
    tier = _TIER.fullmatch(chunk.get("service_tier", b""))
    service_tier = None if tier is None else tier.group(1).decode()
    if not choices and "error" not in chunk:
        return Told(found, None, service_tier)
    chunk["choices"] = Raw(msgspec.json.encode(choices))
    return Told(found, msgspec.json.encode(chunk), service_tier)


def is_one(data: bytes) -> bool:
    """Whether this is one whole event, its lines ended as usual."""
    return 0 < data.find(b"\n\n") == len(data) - 2 and b"\r" not in data and data[:1] != b"\n"


def is_tidy(data: bytes) -> bool:
    """Whether these are whole events with nothing but a blank line between."""
    return data.endswith(b"\n\n") and b"\r" not in data and b"\n\n\n" not in data


def special(data: bytes, begin: int) -> int:
    """Where the first event begins that says more than text, or is not whole."""
    at = len(data)
    for mark in _MARKS:
        found = data.find(mark, begin, at)
        at = at if found < 0 else found
    found = data.rfind(b"\n\n", begin, at)
    return begin if found < 0 else found + 2


def is_whole(payload: bytes) -> bool:
    """Whether a payload is all of one."""
    if payload == b"[DONE]":
        return True
    try:
        msgspec.json.decode(payload, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def payload_of(event: bytes) -> bytes:
    """An event's data: of several lines joined, without comments and other fields.

    Source: HTML Living Standard, 9.2.6 Interpreting an event stream.
    """
    if event.startswith(b"data:") and event.find(b"\n") >= len(event.rstrip()):
        return event[5:].strip()
    lines = (line.rstrip(b"\r") for line in event.split(b"\n"))
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(data).strip()
