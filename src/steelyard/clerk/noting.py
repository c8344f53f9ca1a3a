"""Noting: what a correction of closed months issues, so that each of them is closed again.

What was invoiced stays as it was issued. A month that is closed already gets one note for each
invoice that would be another one now, and one statement more for each earner; where a contract says
that corrections come on the next invoice, the lines go into the first open month instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from steelyard.billing.invoice import in_force, notes
from steelyard.catalogue.documents import Edition
from steelyard.clerk.books import Issued
from steelyard.clerk.issuing import (
    Document,
    Move,
    invoice_document,
    invoice_moves,
    rounding,
    statement_document,
    statement_moves,
)
from steelyard.rating.lines import LineSum
from steelyard.settlement.statement import Statement, statements
from steelyard.values import periods


class Noted(NamedTuple):
    """What is issued, and what that moves."""

    documents: tuple[Document, ...]
    moves: tuple[Move, ...]


def noted_months(issued: Sequence[Issued], edition: Edition) -> frozenset[tuple[str, str]]:
    """The contracts and closed months of which corrections come as notes."""
    found: set[tuple[str, str]] = set()
    for each in issued:
        if each.kind == "invoice":
            contract = in_force(edition, each.contract, periods.month(each.period))
            if contract is None or contract.terms.corrections == "note":
                found.add((each.contract, each.period))
    return frozenset(found)


def note(
    sums: Sequence[LineSum],
    issued: Sequence[Issued],
    edition: Edition,
    ordered_us: int,
    reason: str,
) -> Noted:
    """The notes and statements of closed months, ``sums`` being what is corrected of them."""
    documents: list[Document] = []
    moves: list[Move] = []
    for period in sorted({each.period for each in sums}):
        month = periods.month(period)
        numbers = _numbers(issued, period)
        notes_made = notes(sums, edition, month, ordered_us, numbers, reason)
        known = {each.number for each in issued}

        def named(number: str, known: set[str] = known) -> str:
            return _following(number, known)

        stated = statements(
            sums, edition, month, ordered_us, [rounding(each) for each in notes_made], named
        )
        owed = [_corrective(each, known, reason) for each in stated if _moves_something(each)]
        documents += [invoice_document(each) for each in notes_made]
        documents += [statement_document(each) for each in owed]
        moves += (*invoice_moves(notes_made, period), *statement_moves(owed, period))
    return Noted(tuple(documents), tuple(moves))


def _numbers(issued: Sequence[Issued], period: str) -> Mapping[tuple[str, str], tuple[str, int]]:
    """The invoices of a month by contract and currency, each with how many notes it has."""
    ours = [each for each in issued if each.period == period]
    count: dict[tuple[str, str], int] = {}
    for each in ours:
        if each.kind.endswith("note"):
            key = (each.contract, each.currency)
            count[key] = count.get(key, 0) + 1
    return {
        (each.contract, each.currency): (each.number, count.get((each.contract, each.currency), 0))
        for each in ours
        if each.kind == "invoice"
    }


def _following(number: str, known: set[str]) -> str:
    """The next free number after that of a statement."""
    place = 1
    while f"{number}-{place}" in known:
        place += 1
    return f"{number}-{place}"


def _corrective(statement: Statement, known: set[str], reason: str) -> Statement:
    base, _, _ = statement.number.rpartition("-")
    corrects = base if base in known else ""
    return msgspec.structs.replace(statement, corrects=corrects, reason=reason)


def _moves_something(statement: Statement) -> bool:
    amounts = [line.amount_pico for line in statement.lines]
    margins = [each.margin_pico for each in statement.margins]
    return any((*amounts, *margins, statement.rounding_pico))
