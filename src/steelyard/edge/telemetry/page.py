"""The page of metrics: whichever worker is asked tells of all that share the port."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from steelyard.edge.exchange import Exchange
from steelyard.edge.rsgi import Scope
from steelyard.edge.telemetry import exposition
from steelyard.edge.telemetry.families import Sample

Audience = Literal["loopback", "off", "all"]

PUBLISH_S = 1.0
"""How often a worker leaves its numbers where the others find them."""

FRESH_S = 10.0
"""Numbers older than this are those of a worker that is gone."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_SUFFIX = ".msgpack"
_SAMPLES = msgspec.msgpack.Decoder(list[Sample])


class Numbers:
    """The numbers of this worker, and those that its siblings left in ``folder``.

    With None for a folder there are no siblings.
    """

    def __init__(
        self, worker: str, samples: Callable[[], Sequence[Sample]], folder: Path | None
    ) -> None:
        self._worker = worker
        self._samples = samples
        self._folder = folder
        self._relieved = False

    async def text(self) -> bytes:
        """All of it as Prometheus reads it, put together off the calls' way."""
        return await asyncio.to_thread(self._text, self._samples())

    async def publish(self) -> None:
        """Leave our numbers for the siblings, again and again."""
        while self._folder is not None and not self._relieved:
            with contextlib.suppress(OSError):  # on a full disk ours go stale, and calls go on
                await asyncio.to_thread(self._leave, self._folder, self._samples())
            await asyncio.sleep(PUBLISH_S)

    def relieve(self) -> None:
        """Leave no numbers any more: a successor leaves its own in their place."""
        self._relieved = True

    def withdraw(self) -> None:
        """Leave nothing behind."""
        if self._folder is not None and not self._relieved:
            (self._folder / f"{self._worker}{_SUFFIX}").unlink(missing_ok=True)

    def _text(self, samples: Sequence[Sample]) -> bytes:
        return exposition.text({self._worker: samples, **dict(self._siblings())})

    def _leave(self, folder: Path, samples: Sequence[Sample]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._worker}{_SUFFIX}"
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(msgspec.msgpack.encode(samples))
        fresh.replace(path)

    def _siblings(self) -> Iterator[tuple[str, list[Sample]]]:
        if self._folder is None:
            return
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                if path.stem == self._worker or time.time() - path.stat().st_mtime > FRESH_S:
                    continue
                yield path.stem, _SAMPLES.decode(path.read_bytes())
            except FileNotFoundError:
                continue


class MetricsPage:
    """Shows the numbers to whom they may be shown."""

    def __init__(self, numbers: Numbers, audience: Audience) -> None:
        self._numbers = numbers
        self._audience = audience

    def is_for(self, scope: Scope) -> bool:
        """Whether whoever asks may see the page; for the others it isn't there."""
        return self._audience == "all" or (self._audience == "loopback" and _is_near(scope))

    async def show(self, exchange: Exchange) -> None:
        """Answer with the page."""
        exchange.respond(await self._numbers.text(), media_type=exposition.MEDIA_TYPE)


def _is_near(scope: Scope) -> bool:
    """From this machine, and not from a proxy on it that speaks for somebody else."""
    host = scope.client.rpartition(":")[0].strip("[]")
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return near and not any(scope.headers.get(name) for name in _FORWARDED)
