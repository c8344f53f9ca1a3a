"""The server: what listens inside this process, on this event loop."""

from __future__ import annotations

from typing import Protocol

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import embed

from steelyard.edge import listening
from steelyard.edge.connections import Listen
from steelyard.edge.gateway import Gateway
from steelyard.edge.listening import BACKLOG

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

    def stop(self) -> None:
        """Take no more connections."""
        ...


def make(gateway: Gateway, listen: Listen) -> Server:
    """A server that is not listening yet: ``await server.serve()``, ``server.stop()``.

    Only HTTP/1.1 without TLS: whoever faces the internet puts its proxy in front.
    """
    if listen.server == "httptools":
        return listening.Server(gateway, listen)
    return embed.Server(
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
