"""Documents: what closings and corrections issued, and that nothing is left beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec
import sqlalchemy as sa

from steelyard.clerk.books import Issued
from steelyard.clerk.issuing import Document
from steelyard.clerk.printing import DocumentFile
from steelyard.ledger import balances as ledger
from steelyard.store import tables


def issued_by_closing(connection: sa.Connection, period: str) -> tuple[Document, ...]:
    """What a period's closing issued, in order, with its content."""
    table = tables.documents.c
    return tuple(_documents(connection, table.period == period, table.batch == 0))


def issued_by_correction(connection: sa.Connection, batch: int) -> tuple[Document, ...]:
    """What the correction of a batch issued, in order, with its content."""
    return tuple(_documents(connection, tables.documents.c.batch == batch))


def _documents(connection: sa.Connection, *ours: sa.ColumnElement[bool]) -> Iterator[Document]:
    table = tables.documents
    files = _files(connection, sa.select(table.c.number).where(*ours))
    query = sa.select(table).where(*ours).order_by(table.c.place)
    for row in connection.execute(query):
        yield Document(
            number=row.number,
            period=row.period,
            kind=row.kind,
            party=row.party,
            contract=row.contract,
            currency=row.currency,
            exact_pico=row.exact_pico,
            paid_pico=row.paid_pico,
            remainder_pico=row.exact_pico - row.paid_pico,
            files=tuple(files[row.number]),
        )


def issued_of(connection: sa.Connection) -> list[Issued]:
    """All documents that were issued."""
    table = tables.documents
    columns = [table.c[name] for name in Issued.__struct_fields__]
    rows = connection.execute(sa.select(*columns).order_by(table.c.number)).mappings()
    return [Issued(**row) for row in rows]


def insert_documents(
    connection: sa.Connection, documents: Sequence[Document], batch: int = 0
) -> None:
    """Keep what was issued, by a closing or by the correction of a batch."""
    if not documents:
        return
    columns = tables.documents.c.keys()
    rows = [
        {"place": place, "batch": batch} | msgspec.structs.asdict(each)
        for place, each in enumerate(documents, start=1)
    ]
    connection.execute(
        sa.insert(tables.documents), [{name: row[name] for name in columns} for row in rows]
    )
    files = [
        {"number": each.number, "place": place} | msgspec.structs.asdict(file)
        for each in documents
        for place, file in enumerate(each.files, start=1)
    ]
    connection.execute(sa.insert(tables.document_files), files)


def check_settled(connection: sa.Connection, period: str) -> None:
    """Nothing of a closed period is unbilled or without statement. Raises: LedgerError."""
    table = tables.balances
    query = sa.select(table).where(table.c.period == period).order_by(table.c.account)
    for row in connection.execute(query):
        kind, *_, last = row.account.split("/")
        settled = last == "unbilled" if kind == "customer" else last != "payable"
        if settled and row.debit_pico != row.credit_pico:
            msg = (
                f"closing {period} leaves {row.account} at {row.debit_pico - row.credit_pico} "
                f"pico-units of {row.currency}"
            )
            raise ledger.LedgerError(msg)


def _files(
    connection: sa.Connection, numbers: sa.Select[tuple[str]]
) -> defaultdict[str, list[DocumentFile]]:
    file = tables.document_files
    found: defaultdict[str, list[DocumentFile]] = defaultdict(list)
    query = sa.select(file).where(file.c.number.in_(numbers)).order_by(file.c.place)
    for row in connection.execute(query):
        found[row.number].append(
            DocumentFile(path=row.path, sha256=row.sha256, content=row.content)
        )
    return found
