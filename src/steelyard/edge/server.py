"""The server: Granian inside this process, on this event loop."""

from __future__ import annotations

import msgspec
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from steelyard.edge.gateway import Gateway

BACKLOG = 1024

_STDERR = {
    "class": "logging.StreamHandler",
    "formatter": "generic",
    "stream": "ext://sys.stderr",
}


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens and what it bounds. Unit: bytes, seconds.

    Several processes may listen on one port; the kernel shares the connections out.
    """

    host: str
    port: int
    header_bytes_max: int = 32 << 10
    header_s: int = 30
    connections_max: int = 4096


def make(gateway: Gateway, listen: Listen) -> Server:
    """A server that is not listening yet: ``await server.serve()``, ``server.stop()``.

    Only HTTP/1.1 without TLS: whoever faces the internet puts its proxy in front.
    """
    return Server(
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
