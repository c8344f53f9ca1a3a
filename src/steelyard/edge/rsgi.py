"""Granian's names, which it exports without saying so to a type checker."""

from __future__ import annotations

from granian.rsgi import (
    HTTPProtocol,  # pyright: ignore[reportPrivateImportUsage] - documented as public
    ProtocolClosed,  # pyright: ignore[reportPrivateImportUsage] - documented as public
    Scope,
)

__all__ = ["HTTPProtocol", "ProtocolClosed", "Scope"]
