"""Granian's names, which it exports without saying so to a type checker."""

from __future__ import annotations

from typing import Protocol

from granian.rsgi import (
    HTTPProtocol,  # pyright: ignore[reportPrivateImportUsage] - documented as public
    ProtocolClosed,  # pyright: ignore[reportPrivateImportUsage] - documented as public
    Scope,
)


class StreamTransport(Protocol):
    """Where a stream's body is sent."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a part. Raises: ProtocolClosed."""
        ...


__all__ = ["HTTPProtocol", "ProtocolClosed", "Scope", "StreamTransport"]
