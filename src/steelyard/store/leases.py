"""Leases: what one process at a time does for all machines, until it gives it up or is silent.

Each lease has a token, higher than all before it. Whoever acts under a lease shows its token in the
very transaction that acts: one that has slept through its time is refused, whatever it believes.
Time is the database's. Should its clock be set back, a lease seems to last longer than any is taken
for: whoever comes then takes it, and its holder is told.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from steelyard.store import tables

_NOW_US = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS integer)",
}

_TAKE = """
    INSERT INTO leases (name, holder, token, until_us)
    VALUES (:name, :holder, 1, {now} + :for_us)
    ON CONFLICT (name) DO UPDATE
    SET holder = excluded.holder, token = leases.token + 1, until_us = excluded.until_us
    WHERE leases.until_us < {now} OR leases.until_us > {now} + :for_us
    RETURNING token
"""

_RENEW = """
    UPDATE leases SET until_us = {now} + :for_us WHERE name = :name AND token = :token
"""


class Lease(msgspec.Struct, frozen=True):
    """A lease that was taken."""

    name: str
    token: int


class LeaseLostError(RuntimeError):
    """A lease is another's by now; whoever gets this stops, and waits for its turn."""

    code = "lease_lost"


def take(engine: sa.Engine, name: str, holder: str, seconds: float) -> Lease | None:
    """Take a lease for so long; None while somebody has it."""
    given = {"name": name, "holder": holder, "for_us": round(seconds * 1_000_000)}
    with engine.begin() as connection:
        token = connection.execute(_statement(connection, _TAKE), given).scalar()
    return None if token is None else Lease(name, token)


def renew(engine: sa.Engine, lease: Lease, seconds: float) -> None:
    """Have a lease for so long from now on. Raises: LeaseLostError."""
    given = msgspec.structs.asdict(lease) | {"for_us": round(seconds * 1_000_000)}
    with engine.begin() as connection:
        if not connection.execute(_statement(connection, _RENEW), given).rowcount:
            raise _lost(lease)


def give_up(engine: sa.Engine, lease: Lease) -> None:
    """Let another have it at once; nothing, when another has it."""
    table = tables.leases
    ours = sa.and_(table.c.name == lease.name, table.c.token == lease.token)
    with engine.begin() as connection:
        connection.execute(sa.update(table).where(ours).values(until_us=0))


def check(connection: sa.Connection, lease: Lease) -> None:
    """See in a writing transaction that a lease is ours, and nobody's until it ends.

    Raises: LeaseLostError.
    """
    table = tables.leases
    query = sa.select(table.c.token).where(table.c.name == lease.name).with_for_update()
    if connection.scalar(query) != lease.token:
        raise _lost(lease)


def seconds_left(connection: sa.Connection) -> sa.ColumnElement[float]:
    """For how long each lease is somebody's without a word; below 0: it is nobody's."""
    now: sa.ColumnElement[int] = sa.literal_column(_NOW_US[connection.dialect.name])
    return (tables.leases.c.until_us - now) / 1_000_000


def _statement(connection: sa.Connection, template: str) -> sa.TextClause:
    return sa.text(template.format(now=_NOW_US[connection.dialect.name]))


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"another process has the lease of the {lease.name} by now")
