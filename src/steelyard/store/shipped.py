"""The index of segments that are in the object store."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from steelyard.clerk.shipping import Shipped
from steelyard.store import tables
from steelyard.store.engines import reading

_NOTE = sa.text("""
    INSERT INTO shipped (name, size, sha256, frontier)
    VALUES (:name, :size, :sha256, :frontier)
    ON CONFLICT (name) DO NOTHING
""")


class Index:
    """What was shipped, in a database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def note(self, segment: Shipped) -> None:
        """Note a segment; one that was noted stays as it is."""
        with self._engine.begin() as connection:
            connection.execute(_NOTE, msgspec.structs.asdict(segment))

    def known(self, names: Collection[str]) -> frozenset[str]:
        """Those of the segments that were noted."""
        name = tables.shipped.c.name
        with reading(self._engine) as connection:
            return frozenset(connection.scalars(sa.select(name).where(name.in_(sorted(names)))))

    def unbooked(self) -> Sequence[Shipped]:
        """The segments with something that is not booked, in the order of their names."""
        table, cursors = tables.shipped, tables.cursors.c
        booked = sa.func.coalesce(cursors.offset, 0)
        both = table.outerjoin(tables.cursors, cursors.segment == table.c.name)
        query = sa.select(table).select_from(both).where(booked < table.c.frontier)
        return self._found(query)

    def all(self) -> Sequence[Shipped]:
        """Every segment, in the order of their names."""
        return self._found(sa.select(tables.shipped))

    def _found(self, query: sa.Select[tuple[object, ...]]) -> list[Shipped]:
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(tables.shipped.c.name))
            return [Shipped(row.name, row.size, row.sha256, row.frontier) for row in rows]
