"""Editions: all documents as they stood when they were recorded."""

from __future__ import annotations

import hashlib

import msgspec
import sqlalchemy as sa

from steelyard.catalogue.documents import Edition
from steelyard.store.engines import writing
from steelyard.store.tables import editions


def record_edition(engine: sa.Engine, edition: Edition, at_us: int) -> int:
    """Record the documents as they stand; the number by which usage records name them.

    Nothing is recorded when they are those of the last edition. Unit: ``at_us`` µs since 1970 UTC.
    """
    body = msgspec.json.encode(edition, order="deterministic")
    sha256 = hashlib.sha256(body).digest()
    with writing(engine) as connection:
        last = connection.execute(
            sa.select(editions.c.number, editions.c.sha256)
            .order_by(editions.c.number.desc())
            .limit(1)
        ).first()
        if last and last.sha256 == sha256:
            return last.number
        number = last.number + 1 if last else 1
        row = {"number": number, "sha256": sha256, "body": body, "recorded_us": at_us}
        connection.execute(sa.insert(editions), row)
        return number
