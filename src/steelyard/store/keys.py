"""Callers' keys in a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from steelyard.governance.keys import CHANGEABLE, Key
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
        try:
            with writing(self._engine) as connection:
                connection.execute(sa.insert(keys), _row(key, keys.columns.keys()))
                changes.note(connection, key.id)
        except IntegrityError as exc:
            msg = f"there is a key {key.id}, or one with the same secret, already"
            raise ValueError(msg) from exc

    def all(self) -> tuple[Key, ...]:
        """Every key ever issued, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created_us, keys.c.id))
            return tuple(_key(row) for row in rows.mappings())

    def of(self, sha256: str) -> Key | None:
        """The key with this digest of its secret; None: there is none."""
        with reading(self._engine) as connection:
            query = sa.select(keys).where(keys.c.sha256 == sha256)
            row = connection.execute(query).mappings().first()
        return None if row is None else _key(row)

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

    def change(self, key: Key) -> bool:
        """Have the key of this id name, models, places, limits and rights of this one.

        False: there is no such key.
        """
        with writing(self._engine) as connection:
            changed = sa.update(keys).where(keys.c.id == key.id).values(_row(key, CHANGEABLE))
            found = connection.execute(changed).rowcount > 0
            if found:
                changes.note(connection, key.id)
            return found

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


def _row(key: Key, names: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(key, name) for name in names}
    lists = {name: msgspec.json.encode(values[name]).decode() for name in _LISTS}
    return {**values, **lists, "routing": int(key.routing)}


def _key(row: sa.RowMapping) -> Key:
    values: dict[str, Any] = {**row}
    lists = {name: _PATTERNS.decode(values.pop(name)) for name in _LISTS}
    return Key(**lists, routing=bool(values.pop("routing")), **values)


_LISTS = ("models", "regions")
_PATTERNS = msgspec.json.Decoder(tuple[str, ...])
