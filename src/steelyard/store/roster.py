"""The roster of workers: whoever may have leased something, on whatever machine."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from steelyard.store.engines import reading
from steelyard.store.tables import workers

_ENTER = sa.text("""
    INSERT INTO workers (name, machine, shipped) VALUES (:name, :machine, 0)
    ON CONFLICT (name) DO NOTHING
""")


class Roster:
    """Workers in a database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def enter(self, name: str, machine: str) -> None:
        """Enter a worker, before it leases anything; one that is there stays as it is."""
        with self._engine.begin() as connection:
            connection.execute(_ENTER, {"name": name, "machine": machine})

    def finish(self, name: str) -> None:
        """Note that a worker is dead, and all that it wrote is where every machine finds it."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(workers).where(workers.c.name == name).values(shipped=1))

    def all(self) -> Mapping[str, bool]:
        """Every worker by name: whether it is finished."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(workers.c.name, workers.c.shipped))
            return {row.name: bool(row.shipped) for row in rows}
