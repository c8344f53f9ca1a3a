"""Issuing: documents as they are kept, and what each moves in the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from steelyard.billing.invoice import Invoice
from steelyard.clerk import printing
from steelyard.clerk.printing import DocumentFile
from steelyard.ledger import chain
from steelyard.ledger import transfers as accounts
from steelyard.ledger.transfers import Code, Transfer
from steelyard.settlement.statement import Rounding, Statement

ROUNDING = "rounding"
"""The operator's account of what rounding gave and took; the one of margins is ``margin``."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An issued invoice, note or statement. Unit: pico-units; exact = paid + remainder."""

    number: str
    period: str
    kind: Literal["invoice", "credit note", "debit note", "statement"]
    party: str
    contract: str
    """Empty for a statement."""
    currency: str
    exact_pico: int
    paid_pico: int
    remainder_pico: int
    files: tuple[DocumentFile, ...]


def rounding(invoice: Invoice) -> Rounding:
    """What the operator gains by an invoice's rounding: it has what was paid, and owes the rest."""
    return Rounding(
        number=invoice.number, currency=invoice.currency, gained_pico=-invoice.remainder_pico
    )


def invoice_document(invoice: Invoice) -> Document:
    """An invoice or a note in all its formats."""
    return Document(
        number=invoice.number,
        period=invoice.period,
        kind=invoice.kind,
        party=invoice.buyer.id,
        contract=invoice.contract,
        currency=invoice.currency,
        exact_pico=invoice.exact_pico,
        paid_pico=invoice.paid_pico,
        remainder_pico=invoice.remainder_pico,
        files=printing.invoice_files(invoice),
    )


def statement_document(statement: Statement) -> Document:
    """A statement in all its formats."""
    return Document(
        number=statement.number,
        period=statement.period,
        kind="statement",
        party=statement.earner.id,
        contract="",
        currency=statement.currency,
        exact_pico=statement.exact_pico + statement.rounding_pico,
        paid_pico=statement.paid_pico,
        remainder_pico=statement.remainder_pico,
        files=printing.statement_files(statement),
    )


def covered(document: Document) -> chain.Document:
    """What the chain covers of a document: everything but its files' content, by its hash."""
    return chain.Document(
        number=document.number,
        kind=document.kind,
        party=document.party,
        contract=document.contract,
        currency=document.currency,
        exact_pico=document.exact_pico,
        paid_pico=document.paid_pico,
        files=tuple((file.path, file.sha256) for file in document.files),
    )


Move = tuple[Code, str, str, int, str, str]
"""Code, debit, credit, amount, currency and period; a negative amount moves the other way."""


def numbered(moves: Iterable[Move], batch: int, sequence: int) -> Iterator[Transfer]:
    """The transfers of moves, from a sequence in a batch on; nothing is no transfer."""
    booked = (move for move in moves if move[3])
    for place, move in enumerate(booked, start=sequence):
        code, debit, credit, amount_pico, currency, period = move
        yield Transfer(
            batch=batch,
            sequence=place,
            debit=debit if amount_pico > 0 else credit,
            credit=credit if amount_pico > 0 else debit,
            amount_pico=abs(amount_pico),
            currency=currency,
            code=code,
            period=period,
        )


def invoice_moves(issued: Iterable[Invoice], period: str) -> Iterator[Move]:
    """What is invoiced becomes receivable; what its rounding left is the operator's."""
    for each in issued:
        unbilled = accounts.unbilled(each.buyer.id)
        receivable = accounts.receivable(each.buyer.id)
        rounding = accounts.earned(each.seller.id, ROUNDING)
        yield "invoice", receivable, unbilled, each.paid_pico, each.currency, period
        yield "rounding", rounding, unbilled, each.remainder_pico, each.currency, period


def statement_moves(owed: Iterable[Statement], period: str) -> Iterator[Move]:
    """What was earned becomes payable, component by component; the operator's comes last.

    What rounding left is taken from, or given to, the largest component.
    """
    for each in owed:
        earner, currency = each.earner.id, each.currency
        earned: defaultdict[str, int] = defaultdict(int)
        for line in each.lines:
            earned[line.component] += line.amount_pico
        earned["margin"] += sum(margin.margin_pico for margin in each.margins)
        earned[ROUNDING] += each.rounding_pico
        largest = max(earned, key=lambda component: abs(earned[component]))
        earned[largest] -= each.remainder_pico
        rounding = accounts.earned(each.payer.id, ROUNDING)
        account = accounts.earned(earner, largest)
        yield "rounding", account, rounding, each.remainder_pico, currency, period
        for component, amount_pico in earned.items():
            account = accounts.earned(earner, component)
            yield "statement", account, accounts.payable(earner), amount_pico, currency, period
