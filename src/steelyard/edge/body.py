"""Bodies: read within bounds, and understood as a JSON object."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from steelyard.dispatch.calls import CallerGoneError
from steelyard.dispatch.refusals import Code, Refusal, invalid, missing
from steelyard.edge.rsgi import Headers, HTTPProtocol, ProtocolClosed

MEDIA_TYPE = "application/json"

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_BYTE = re.compile(r" \(byte (\d+)\)", re.ASCII)
_MISSING = re.compile(r"missing required field `(\w+)`", re.ASCII)
_WRONG = re.compile(r"(Expected .+?) - at `\$\.(\w+)", re.ASCII)

T = TypeVar("T")

OURS = "steelyard"
"""The field of a body in which a caller speaks to us alone: no upstream is shown it."""


class Wishes(msgspec.Struct, frozen=True):
    """What a body may say in that field; ``deployments`` as the header of that name does."""

    deployments: str | None = None


NO_WISHES = Wishes()


class Limits(NamedTuple):
    """Bounds of a request. Unit: bytes and seconds."""

    body_bytes_max: int = 8 << 20
    body_s: float = 30


def unsupported(headers: Headers) -> Refusal | None:
    """Why a body of that type is not read. Refuses: unsupported_media_type."""
    media_type = headers.get("content-type", MEDIA_TYPE)
    if media_type != MEDIA_TYPE and media_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
        return _unsupported(f"content-type {media_type[:100]!r}")
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        return _unsupported(f"content-encoding {encoding[:100]!r}")
    return None


async def read(headers: Headers, proto: HTTPProtocol, limits: Limits) -> bytes | Refusal:
    """A request's whole body. Refuses: request_too_large, request_timeout.

    Raises: CallerGoneError.
    """
    length = headers.get("content-length")
    if length is not None and int(length) > limits.body_bytes_max:
        await discard(proto, limits)
        return _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_s):
            if length is not None:
                return await proto()
            return await _read_unannounced(proto, limits)
    except TimeoutError:
        message = f"The body did not arrive within {limits.body_s:g} seconds."
        return Refusal(code=Code.REQUEST_TIMEOUT, message=message)
    except ProtocolClosed as exc:
        raise CallerGoneError from exc


async def discard(proto: HTTPProtocol, limits: Limits) -> None:
    """Read what a refused caller still sends, within bounds, so that it sees the refusal."""
    left = limits.body_bytes_max
    try:
        async with asyncio.timeout(limits.body_s):
            async for part in proto:
                left -= len(part)
                if left < 0:
                    return
    except (TimeoutError, ProtocolClosed):
        return


def understand(
    body: bytes, envelope: msgspec.json.Decoder[T]
) -> tuple[T, dict[str, Raw]] | Refusal:
    """The fields that we read ourselves, and all that are an upstream's, as they were written.

    Refuses: invalid_json, missing_parameter, invalid_parameter.
    """
    try:
        fields = _FIELDS.decode(body)
        understood = envelope.decode(body)
    except msgspec.ValidationError as exc:
        return _not_valid(str(exc))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return Refusal(code=Code.INVALID_JSON, message=_where(body, exc))
    fields.pop(OURS, None)
    return understood, fields


async def _read_unannounced(proto: HTTPProtocol, limits: Limits) -> bytes | Refusal:
    """A body whose length nobody said; of one that is too large as much again is read away."""
    parts: list[bytes] = []
    size = 0
    async for part in proto:
        size += len(part)
        if size <= limits.body_bytes_max:
            parts.append(part)
        elif size > 2 * limits.body_bytes_max:
            break
    return b"".join(parts) if size <= limits.body_bytes_max else _too_large(limits)


def _unsupported(what: str) -> Refusal:
    message = f"The body must be plain {MEDIA_TYPE}, not {what}."
    return Refusal(code=Code.UNSUPPORTED_MEDIA_TYPE, message=message)


def _too_large(limits: Limits) -> Refusal:
    message = f"The body is larger than {limits.body_bytes_max} bytes."
    return Refusal(code=Code.REQUEST_TOO_LARGE, message=message)


def _not_valid(said: str) -> Refusal:
    if found := _MISSING.search(said):
        return missing(found.group(1))
    if found := _WRONG.search(said):
        return invalid(found.group(2), found.group(1).removeprefix("Expected ").replace("`", ""))
    return Refusal(code=Code.INVALID_JSON, message="The body must be a JSON object.")


def _where(body: bytes, exc: Exception) -> str:
    if not body:
        return "The body is empty; it must be a JSON object."
    if isinstance(exc, RecursionError):
        return "The body is nested too deeply."
    said = str(exc)
    found = _BYTE.search(said)
    at = int(found.group(1)) if found else len(body)
    if "trailing" in said:
        at -= 1  # it counts the first of them as read
    before = body[:at]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    what = _BYTE.sub("", said).removeprefix("JSON is malformed: ") if found else "it ends too early"
    return f"The body is not valid JSON at line {line}, column {column}: {what}."
