"""Keyed: a transport whose requests carry an upstream's keys in turn."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.upstream.keyring import Credential, Keyring
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
        return self._refused(reply, key) if reply.status >= _REFUSALS else reply

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    def _refused(self, reply: Reply, key: Credential) -> Reply:
        """Let a key rest that was refused; with several, say how long all of them rest."""
        now_us, keyring = self._clock.monotonic_us(), self._keyring
        known = keyring.rests(key, now_us)
        rest_s = keyring.told(key, reply.status, reply.header(RETRY_AFTER), now_us)
        if not rest_s:
            return reply
        if not known:
            self._told(f"key {key.name}: status {reply.status}; it rests for {rest_s} s")
        return reply if keyring.count == 1 else _Later(reply, keyring.wait_s(now_us))


class _Later:
    """An answer to one key of several: what is left to wait is for the next key."""

    def __init__(self, reply: Reply, wait_s: int) -> None:
        self.status = reply.status
        self.read = reply.read
        self.close = reply.close
        self._reply = reply
        self._retry_after = str(wait_s) if wait_s else ""

    def header(self, name: str) -> str:
        return self._retry_after if name == RETRY_AFTER else self._reply.header(name)


RETRY_AFTER = "retry-after"
_REFUSALS = 400
