"""Callers' keys in a database."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from steelyard.governance.keys import Key
from steelyard.store import changes
from steelyard.store.engines import reading, writing
from steelyard.store.tables import key_changes, keys


class Keys:
    """The issued keys."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, key: Key) -> None:
        """Keep a new key.

        Raises: ValueError when its id or its digest is there already.
        """
        row = {name: getattr(key, name) for name in keys.columns.keys()}  # noqa: SIM118 - no dict
        row["models"] = msgspec.json.encode(key.models).decode()
        try:
            with writing(self._engine) as connection:
                connection.execute(sa.insert(keys), row)
                changes.note(connection, key.id)
        except IntegrityError as exc:
            msg = f"there is a key {key.id}, or one with the same secret, already"
            raise ValueError(msg) from exc

    def all(self) -> tuple[Key, ...]:
        """Every key ever issued, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created_us, keys.c.id))
            return tuple(_key(row) for row in rows.mappings())

    def changed(self, after: int) -> tuple[int, tuple[Key, ...]]:
        """The number of the last change, and the keys that changed after one; after 0, all keys.

        All, too, where that change is not known any more: the database is another one.
        """
        number, order = key_changes.c.number, (keys.c.created_us, keys.c.id)
        query = sa.select(keys).order_by(*order)
        with reading(self._engine) as connection:
            last = connection.scalar(sa.select(sa.func.max(number))) or 0
            if 0 < after <= last:
                recent = sa.select(key_changes.c.key_id).where(number > after)
                query = query.where(keys.c.id.in_(recent))
            rows = connection.execute(query).mappings()
            return last, tuple(_key(row) for row in rows)

    def revoke(self, key_id: str, at_us: int) -> bool:
        """Revoke a key from ``at_us`` on; the first time counts. False: there is no such key."""
        with writing(self._engine) as connection:
            known = connection.scalar(sa.select(sa.exists().where(keys.c.id == key_id)))
            done = connection.execute(
                sa.update(keys)
                .where(keys.c.id == key_id, keys.c.revoked_us.is_(None))
                .values(revoked_us=at_us)
            )
            if done.rowcount:
                changes.note(connection, key_id)
            return bool(known)


def _key(row: sa.RowMapping) -> Key:
    values: dict[str, Any] = {**row}
    models: list[str] = msgspec.json.decode(values.pop("models"))
    return Key(models=tuple(models), **values)
