"""Keyed: a transport whose requests carry an upstream's keys in turn."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.upstream.keyring import Keyring
from steelyard.upstream.transport import Kind, Reply, Request, Transport, UpstreamError
from steelyard.values.clock import Clock


class Keyed:
    """Sends what ``inner`` does, with the next key of a keyring that does not rest.

    ``told`` hears a sentence whenever a key is sent to rest.
    """

    def __init__(
        self, inner: Transport, keyring: Keyring, clock: Clock, told: Callable[[str], None]
    ) -> None:
        self._inner = inner
        self._keyring = keyring
        self._clock = clock
        self._told = told

    async def open(self, request: Request) -> Reply:
        """Send a request with a key; give its answer once the head is there.

        Raises: UpstreamError; RESTING when no key can be used now.
        """
        now_us = self._clock.monotonic_us()
        key = self._keyring.pick(now_us)
        if key is None:
            wait_s = self._keyring.wait_s(now_us)
            raise UpstreamError(Kind.RESTING, "all of its keys rest", retry_after_s=wait_s)
        asked = Request(request.path, request.body, request.headers, key.secret)
        reply = await self._inner.open(asked)
        if reply.status >= _REFUSALS:
            now_us = self._clock.monotonic_us()
            retry_after = reply.header("retry-after")
            rest_s = self._keyring.told(key, reply.status, retry_after, now_us)
            if rest_s:
                self._told(f"key {key.name}: status {reply.status}; it rests for {rest_s} s")
        return reply

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


_REFUSALS = 400
