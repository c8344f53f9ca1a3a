"""The server: what listens inside this process, on this event loop."""

from __future__ import annotations

import asyncio
from typing import Protocol

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import embed

from steelyard.edge import listening
from steelyard.edge.connections import Listen
from steelyard.edge.gateway import Gateway
from steelyard.edge.listening import BACKLOG

_LISTENING_S = 10.0
_LOOK_S = 0.01

_STDERR = {
    "class": "logging.StreamHandler",
    "formatter": "generic",
    "stream": "ext://sys.stderr",
}


class Server(Protocol):
    """What listens."""

    async def serve(self) -> None:
        """Listen, until ``stop``."""
        ...

    async def ready(self) -> None:
        """Return when it listens."""
        ...

    def stop(self, *, linger: bool = False) -> None:
        """Take no more connections; those that are idle may ``linger``."""
        ...


def make(gateway: Gateway, listen: Listen) -> Server:
    """A server that is not listening yet: ``serve`` it, until it is told to ``stop``.

    Only HTTP/1.1 without TLS: whoever faces the internet puts its proxy in front.
    """
    if listen.server == "httptools":
        return listening.Server(gateway, listen)
    embedded = embed.Server(
        gateway,
        address=listen.host,
        port=listen.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=listen.connections_max,
        http1_settings=HTTP1Settings(
            header_read_timeout=listen.header_s * 1000,
            max_buffer_size=listen.header_bytes_max,
        ),
        log_access=False,
        log_level=LogLevels.error,
        log_dictconfig={"handlers": dict.fromkeys(("console", "access"), _STDERR)},
    )
    return _Embedded(embedded, listen)


class _Embedded:
    """Granian, which takes the port by a socket of its own."""

    def __init__(self, server: embed.Server, listen: Listen) -> None:
        self._server = server
        self._listen = listen

    async def serve(self) -> None:
        """Listen, until ``stop``."""
        await self._server.serve()

    async def ready(self) -> None:
        """Return when somebody listens."""
        async with asyncio.timeout(_LISTENING_S):
            while True:
                try:
                    _, stream = await asyncio.open_connection(self._listen.host, self._listen.port)
                except OSError:
                    await asyncio.sleep(_LOOK_S)
                else:
                    stream.close()
                    return

    def stop(self, *, linger: bool = False) -> None:
        """Take no more connections."""
        del linger
        self._server.stop()
