"""What the tests of this room may ask for."""

from __future__ import annotations

from tests.fixtures.engine import engine

__all__ = ["engine"]
