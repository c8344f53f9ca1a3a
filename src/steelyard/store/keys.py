"""Callers' keys in a database."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from steelyard.governance.keys import Key
from steelyard.store.engines import reading, writing
from steelyard.store.tables import keys


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
        except IntegrityError as exc:
            msg = f"there is a key {key.id}, or one with the same secret, already"
            raise ValueError(msg) from exc

    def all(self) -> tuple[Key, ...]:
        """Every key ever issued, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created_us, keys.c.id))
            return tuple(_key(row) for row in rows.mappings())

    def revoke(self, key_id: str, at_us: int) -> bool:
        """Revoke a key from ``at_us`` on; the first time counts. False: there is no such key."""
        with writing(self._engine) as connection:
            known = connection.scalar(sa.select(sa.exists().where(keys.c.id == key_id)))
            connection.execute(
                sa.update(keys)
                .where(keys.c.id == key_id, keys.c.revoked_us.is_(None))
                .values(revoked_us=at_us)
            )
            return bool(known)


def _key(row: sa.RowMapping) -> Key:
    values: dict[str, Any] = {**row}
    models: list[str] = msgspec.json.decode(values.pop("models"))
    return Key(models=tuple(models), **values)
