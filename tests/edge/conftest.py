"""One gateway with echoes for all tests of the edge that don't need their own."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.edge import faulty
from tests.edge.faulty import Stage
from tests.fixtures.engine import engine
from tests.fixtures.gateway import Deployed, Gateway, running

__all__ = ["engine"]

BODY_BYTES_MAX = 200_000


@pytest.fixture(scope="session")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    """Mark the module that asks for it with ``pytest.mark.xdist_group("gateway")``."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = f"body_bytes_max = {BODY_BYTES_MAX}\nbody_s = 1\nheader_bytes_max = 16384"
    deployed = [Deployed("echo-2"), Deployed("private-1")]
    with running(folder, deployed, settings) as started:
        yield started


@pytest.fixture(scope="session")
def stage(tmp_path_factory) -> Generator[Stage]:
    """Mark the module that asks for it with ``pytest.mark.xdist_group("faults")``."""
    with faulty.stage(tmp_path_factory.mktemp("faults")) as opened:
        yield opened
