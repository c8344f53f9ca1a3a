"""Shown: what is only looked at, in the books and beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from steelyard.store import tables
from steelyard.store.engines import reading
from steelyard.store.leases import seconds_left

ISSUED_MAX = 1000
"""How many documents are listed, the latest."""


class Counted(NamedTuple):
    """How many calls are booked, and how many records are set aside."""

    calls: int
    set_aside: int


class Turn(NamedTuple):
    """Whose turn something is, and for how much longer without a word. Unit: seconds."""

    name: str
    holder: str
    token: int
    left_s: int


class Unbilled(NamedTuple):
    """What a customer is charged in a month and not invoiced for. Unit: pico-units."""

    customer: str
    period: str
    currency: str
    amount_pico: int


class Listed(NamedTuple):
    """An issued document without its files' content. Unit: pico-units."""

    number: str
    period: str
    kind: str
    party: str
    contract: str
    currency: str
    paid_pico: int
    paths: Sequence[str]


class Paper(NamedTuple):
    """A file of a document, of which kind that is, and whose."""

    kind: str
    party: str
    content: bytes


def counted(engine: sa.Engine) -> Counted:
    """What is booked, and what is not."""
    with reading(engine) as connection:
        calls = connection.scalar(sa.select(sa.func.sum(tables.batches.c.calls)))
        aside = connection.scalar(sa.select(sa.func.count()).select_from(tables.set_aside))
    return Counted(int(calls or 0), aside or 0)


def turns(engine: sa.Engine) -> list[Turn]:
    """Whose turn it is with each thing that one process does for all machines."""
    table = tables.leases.c
    with reading(engine) as connection:
        query = sa.select(table.name, table.holder, table.token, seconds_left(connection))
        rows = connection.execute(query.order_by(table.name)).all()
    return [Turn(name, holder, token, max(0, int(left))) for name, holder, token, left in rows]


def unbilled(engine: sa.Engine) -> list[Unbilled]:
    """What each customer is charged and not invoiced for, by month and currency."""
    table = tables.balances.c
    ours = table.account.startswith("customer/") & table.account.endswith("/unbilled")
    query = sa.select(tables.balances).where(ours)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(table.period, table.account, table.currency)).all()
    return [
        Unbilled(
            row.account.split("/")[1], row.period, row.currency, row.debit_pico - row.credit_pico
        )
        for row in rows
    ]


def listed(
    engine: sa.Engine, *, period: str | None = None, party: str | None = None
) -> list[Listed]:
    """Documents of a month or of a party, the latest month first."""
    table, file = tables.documents, tables.document_files.c
    query = sa.select(table).order_by(table.c.period.desc(), table.c.batch, table.c.place)
    if period is not None:
        query = query.where(table.c.period == period)
    if party is not None:
        query = query.where(table.c.party == party)
    with reading(engine) as connection:
        rows = connection.execute(query.limit(ISSUED_MAX)).all()
        numbers = [row.number for row in rows]
        found = sa.select(file.number, file.path).where(file.number.in_(numbers))
        paths: dict[str, list[str]] = {}
        for number, path in connection.execute(found.order_by(file.place)):
            paths.setdefault(number, []).append(path)
    return [
        Listed(
            row.number,
            row.period,
            row.kind,
            row.party,
            row.contract,
            row.currency,
            row.paid_pico,
            paths.get(row.number, []),
        )
        for row in rows
    ]


def paper(engine: sa.Engine, path: str) -> Paper | None:
    """A document's file, as it was issued; None: there is no such file."""
    document, file = tables.documents, tables.document_files
    both = file.join(document, document.c.number == file.c.number)
    query = sa.select(document.c.kind, document.c.party, file.c.content).select_from(both)
    with reading(engine) as connection:
        row = connection.execute(query.where(file.c.path == path)).first()
    return None if row is None else Paper(row.kind, row.party, bytes(row.content))
