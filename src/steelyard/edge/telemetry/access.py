"""The access log: one JSON line a call, written by a thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from steelyard.dispatch.observing import Ended, Refused
from steelyard.edge.telemetry.drains import Drain
from steelyard.edge.telemetry.watching import Unmoved
from steelyard.values import ids
from steelyard.values.meters import METERS

EVERY_S = 0.2
_STDERR_FD = 2
_MILLISECOND_US = 1000
_MILLION = 1_000_000


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call. What is not known, or was not, has no field.

    Unit: ``*_ms`` milliseconds, ``*_bytes`` bytes; ``at`` is UTC.
    """

    at: str
    call_id: str
    status: int | None = None
    outcome: str
    code: str | None = None
    duration_ms: float | None = None
    first_token_ms: float | None = None
    customer: str | None = None
    key: str | None = None
    operation: str | None = None
    model: str | None = None
    asked: str | None = None
    deployment: str | None = None
    streamed: bool = False
    cached: bool = False
    attempts: int = 0
    tokens: dict[str, int] = {}
    ingress_bytes: int | None = None
    egress_bytes: int | None = None
    upstream_id: str | None = None
    trace_id: str | None = None


class AccessLog(Unmoved):
    """Writes each call to a file, or to standard error where ``path`` is None.

    A file that was moved away is begun anew. Raises: OSError when it can't be written at all.
    """

    def __init__(self, path: Path | None, items_max: int) -> None:
        self._path = path
        self._fd = _STDERR_FD if path is None else _open(path)
        self._encode: Callable[[Line], bytes] = msgspec.json.Encoder().encode
        self._drain: Drain[Ended | Refused] = Drain(
            "access-log", self._write, items_max=items_max, every_s=EVERY_S
        )

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._drain.dropped

    def refused(self, seen: Refused) -> None:
        """Note a refusal."""
        self._drain.put(seen)

    def ended(self, seen: Ended) -> None:
        """Note a call."""
        self._drain.put(seen)

    def close(self) -> None:
        """Write what is left."""
        self._drain.close()
        if self._path is not None:
            os.close(self._fd)

    def _write(self, items: list[Ended | Refused]) -> int:
        data = b"".join([self._encode(line_of(each)) + b"\n" for each in items])
        try:
            self._follow()
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return data.count(b"\n")
        return 0

    def _follow(self) -> None:
        """Open the file again when it is another one: whoever rotates logs has moved ours."""
        if self._path is None:
            return
        ours = os.fstat(self._fd)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            fresh = _open(self._path)
            os.close(self._fd)
            self._fd = fresh


def line_of(seen: Ended | Refused) -> Line:
    """What the log says of a call."""
    trace = seen.arrival.trace
    trace_id = None if trace is None else trace.trace_id
    if isinstance(seen, Refused):
        return Line(
            at=_written(seen.arrival.at_us),
            call_id=ids.text(seen.arrival.call_id),
            status=seen.status,
            outcome="refused",
            code=seen.refusal.code,
            duration_ms=_ms(seen.duration_us),
            customer=seen.customer,
            trace_id=trace_id,
        )
    record = seen.record
    meters = record.meters
    return Line(
        at=_written(record.at_us),
        call_id=ids.text(record.call_id),
        status=record.status,
        outcome=record.outcome,
        code=record.error,
        duration_ms=_ms(record.duration_us),
        first_token_ms=_ms(record.first_token_us),
        customer=record.customer,
        key=record.key_id,
        operation=seen.operation,
        model=record.model,
        asked=record.asked,
        deployment=record.deployment,
        streamed=record.streamed,
        cached="cache_hits" in meters,
        attempts=record.attempts,
        tokens={name: n for name, n in meters.items() if METERS[name].unit == "token"},
        ingress_bytes=meters.get("ingress_bytes"),
        egress_bytes=meters.get("egress_bytes"),
        upstream_id=record.upstream_id,
        trace_id=trace_id,
    )


def _ms(us: int | None) -> float | None:
    return None if us is None else us / _MILLISECOND_US


def _written(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, _MILLION)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
