"""Migrations: a database of an earlier schema brought to this one, with nothing of it changed.

Each step goes from one version to the next, within the transaction that opens the database: it
is there whole or not at all. What was there before is counted, and must be there after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from steelyard.store.tables import METADATA, SCHEMA_VERSION, schema_version


class SchemaError(RuntimeError):
    """A database that this version of Steelyard can't use, with what to do about it."""

    code = "schema_unknown"


def migrate(connection: sa.Connection, version: int) -> None:
    """Bring the tables from a version to this Steelyard's.

    Raises: SchemaError when that would not leave all rows; nothing is changed then.
    """
    for step in range(version, SCHEMA_VERSION):
        before = _rows(connection)
        STEPS[step](connection)
        after = _rows(connection)
        lost = [name for name, count in before.items() if after.get(name) != count]
        if lost:
            named = ", ".join(sorted(lost))
            msg = (
                f"from schema version {step} on, rows of {named} would be lost, so the database "
                "was left as it is; go on with the version that made it"
            )
            raise SchemaError(msg)
    _check_columns(connection)
    connection.execute(sa.update(schema_version).values(version=SCHEMA_VERSION))


def _counters(connection: sa.Connection) -> None:
    _create(connection, "counters", "batch_counters")


def _kinds(connection: sa.Connection) -> None:
    """All batches before were of calls."""
    _add(connection, "batches", "kind", "TEXT NOT NULL DEFAULT 'calls'")
    _add(connection, "batches", "made_from", "TEXT NOT NULL DEFAULT ''")


def _facts(connection: sa.Connection) -> None:
    _create(connection, "facts")


def _key_changes(connection: sa.Connection) -> None:
    _create(connection, "key_changes")


def _key_attributes(connection: sa.Connection) -> None:
    """Keys issued before might call from anywhere, and choose nothing."""
    _add(connection, "keys", "regions", "TEXT NOT NULL DEFAULT '[\"*\"]'")
    _add(connection, "keys", "routing", "BIGINT NOT NULL DEFAULT 0")
    _add(connection, "keys", "workspace", "TEXT NOT NULL DEFAULT ''")
    _add(connection, "keys", "project", "TEXT NOT NULL DEFAULT ''")
    _add(connection, "keys", "priority", "BIGINT NOT NULL DEFAULT 0")


def _machines(connection: sa.Connection) -> None:
    _create(connection, "leases", "shipped")


def _notes(connection: sa.Connection) -> None:
    """All documents before were issued by closings."""
    _add(connection, "documents", "batch", "BIGINT NOT NULL DEFAULT 0")


def _workers(connection: sa.Connection) -> None:
    """Workers of before are known by their journals' folders."""
    _create(connection, "workers")


STEPS: Mapping[int, Callable[[sa.Connection], None]] = {
    1: _counters,
    2: _kinds,
    3: _facts,
    4: _key_changes,
    5: _key_attributes,
    6: _machines,
    7: _notes,
    8: _workers,
}
"""What leads from each version to the next."""


def _create(connection: sa.Connection, *names: str) -> None:
    METADATA.create_all(connection, [METADATA.tables[name] for name in names])


def _add(connection: sa.Connection, table: str, column: str, what: str) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} {what}")


def _rows(connection: sa.Connection) -> dict[str, int]:
    """How many rows each table has that is ours."""
    found = set(sa.inspect(connection).get_table_names()) & set(METADATA.tables)
    count = sa.func.count()
    return {
        name: connection.scalar(sa.select(count).select_from(sa.table(name))) or 0 for name in found
    }


def _check_columns(connection: sa.Connection) -> None:
    inspector = sa.inspect(connection)
    for name, table in METADATA.tables.items():
        found = {column["name"] for column in inspector.get_columns(name)}
        if found != set(table.columns.keys()):
            msg = (
                f"the table {name} has the columns {', '.join(sorted(found))}, which no version of "
                "Steelyard made; restore the database from a copy"
            )
            raise SchemaError(msg)
