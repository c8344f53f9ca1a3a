"""What the tests of this room may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.fixtures.engine import engine

__all__ = ["engine"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give the event loop that serves, and for the thin client the one of Python itself too."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if "test_client" in item.nodeid:
        loops["asyncio"] = asyncio.new_event_loop
    return loops
