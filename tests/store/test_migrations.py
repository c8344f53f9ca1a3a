"""Databases of earlier schemas, opened by this version: all that was there is there."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from steelyard.store import migrations, tables
from steelyard.store.engines import open_engine, reading, writing
from steelyard.store.migrations import SchemaError

BACK = {
    8: ["DROP TABLE workers"],
    7: ["ALTER TABLE documents DROP COLUMN batch"],
    # from the next version to this one: what the step to the next one added
    6: ["DROP TABLE leases", "DROP TABLE shipped"],
    5: [
        f"ALTER TABLE keys DROP COLUMN {name}"
        for name in ("regions", "routing", "workspace", "project", "priority")
    ],
    4: ["DROP TABLE key_changes"],
    3: ["DROP TABLE facts"],
    2: [
        "ALTER TABLE batches DROP COLUMN kind",
        "ALTER TABLE batches DROP COLUMN made_from",
    ],
    1: ["DROP TABLE counters", "DROP TABLE batch_counters"],
}

BATCH = (
    "INSERT INTO batches (number, first_open, calls, unrated, duplicates, conflicts, lines, "
    "file_bytes, file_sha256, hash, kind, made_from) "
    "VALUES (1, '2026-10', 2, 0, 1, 0, 9, 4096, {blob}, {blob}, 'calls', '')"
)


def backwards(engine: sa.Engine, version: int) -> None:
    """Put a batch into an empty database, and make it one of an earlier version."""
    with writing(engine) as connection:
        blob = "x'0a'" if connection.dialect.name == "sqlite" else "'\\x0a'"
        connection.exec_driver_sql(BATCH.format(blob=blob))
        for step in range(tables.SCHEMA_VERSION - 1, version - 1, -1):
            for statement in BACK[step]:
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"UPDATE schema_version SET version = {version}")


@pytest.mark.parametrize("version", sorted(migrations.STEPS))
def test_a_database_of_an_earlier_version_is_brought_to_this_one(engine, url, version):
    backwards(engine, version)
    again = open_engine(url)
    with reading(again) as connection:
        assert connection.scalar(sa.select(tables.schema_version)) == tables.SCHEMA_VERSION
        (row,) = connection.execute(sa.select(tables.batches)).all()
        assert (row.number, row.first_open, row.lines, row.hash) == (1, "2026-10", 9, b"\n")
        assert (row.kind, row.made_from) == ("calls", "")
        for table in tables.METADATA.sorted_tables:
            connection.execute(sa.select(table)).all()
    again.dispose()


def test_every_earlier_version_has_its_step():
    assert sorted(migrations.STEPS) == list(range(1, tables.SCHEMA_VERSION))
    assert migrations.STEPS.keys() == BACK.keys()


def test_a_step_that_loses_a_row_is_not_kept(engine, url, monkeypatch):
    backwards(engine, 2)

    def lose(connection: sa.Connection, step=migrations.STEPS[2]) -> None:
        step(connection)
        connection.execute(sa.delete(tables.batches))

    lossy = {**migrations.STEPS, 2: lose}
    monkeypatch.setattr(migrations, "STEPS", lossy)
    with pytest.raises(SchemaError, match="rows of batches would be lost"):
        open_engine(url)
    with reading(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.batches)) == 1
        assert connection.scalar(sa.select(tables.schema_version)) == 2
