"""Connect: which client speaks to an upstream."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from steelyard.upstream.client import Client
from steelyard.upstream.transport import Limits, Transport


def connect(
    url: str,
    limits: Limits,
    *,
    socket: Path | None = None,
    ca_file: Path | None = None,
    proxy: str | None = None,
    proxy_login: str | None = None,
    http2: bool = False,
) -> Transport:
    """The way to an upstream: the thin client, or the library's for proxies and HTTP/2.

    ``ca_file`` is trusted beside the system's authorities. ``proxy_login`` is ``user:password``.
    Raises: OSError, when the file can't be used.
    """
    if proxy is None and not http2:
        return Client(url, limits, trust(ca_file) if url.startswith("https:") else None, socket)
    # Megabytes of memory that few upstreams need.
    from steelyard.upstream.library import LibraryClient  # noqa: PLC0415

    way = None if proxy is None else (proxy, proxy_login)
    return LibraryClient(url, limits, ca_file=ca_file, proxy=way, http2=http2)


@cache
def trust(ca_file: Path | None) -> ssl.SSLContext:
    """What an upstream is trusted by: the system's authorities, and one's own."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
