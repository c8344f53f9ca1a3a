"""Posting: from the totals of a batch's lines to the transfers that book them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from steelyard.governance.funding import Receipt
from steelyard.ledger import transfers as accounts
from steelyard.ledger.transfers import Code, Transfer

MARGIN = "margin"
"""The account of what is left of a sale when every component is paid."""

_ORDER: dict[Code, int] = {"charge": 0, "cost": 1, "margin": 2, "deposit": 3}


class Total(Protocol):
    """The lines of one side, summed for one customer, contract, model, component and party.

    Unit: ``amount_pico`` pico-units of ``currency``.
    """

    @property
    def period(self) -> str:
        """The month that the lines are invoiced or settled with."""
        ...

    @property
    def side(self) -> str:
        """``charge``, ``cost`` or ``deposit``."""
        ...

    @property
    def customer(self) -> str:
        """Who called."""
        ...

    @property
    def contract(self) -> str:
        """Under which contract."""
        ...

    @property
    def model(self) -> str:
        """Which model."""
        ...

    @property
    def component(self) -> str:
        """What a cost pays for, or the account of a deposit; empty for a charge."""
        ...

    @property
    def party(self) -> str:
        """Who earns a cost."""
        ...

    @property
    def currency(self) -> str:
        """In which currency."""
        ...

    @property
    def amount_pico(self) -> int:
        """The sum."""
        ...


_Key = tuple[str, str, Code, str, str]


def post(totals: Iterable[Total], batch: int, operator: str) -> tuple[Transfer, ...]:
    """The transfers of a batch, in their order: one for each pair of accounts, period and currency.

    What a sale leaves after its costs goes to the operator's margin, or comes from it, so that
    each ``sales`` account is at zero afterwards.
    """
    sums: defaultdict[_Key, int] = defaultdict(int)
    left: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for total in totals:
        sold = accounts.sales(total.contract, total.model)
        where = (total.period, total.currency)
        if total.side == "deposit":
            owed = accounts.unbilled(total.customer)
            held = accounts.deposited(total.customer, total.component)
            sums[*where, "deposit", owed, held] += total.amount_pico
            continue
        if total.side == "charge":
            sums[*where, "charge", accounts.unbilled(total.customer), sold] += total.amount_pico
            left[*where, sold] += total.amount_pico
        else:
            earned = accounts.earned(total.party, total.component)
            sums[*where, "cost", sold, earned] += total.amount_pico
            left[*where, sold] -= total.amount_pico
    for (period, currency, sold), amount_pico in left.items():
        sums[period, currency, MARGIN, sold, accounts.earned(operator, MARGIN)] += amount_pico
    ordered = sorted(sums.items(), key=lambda item: _place(item[0]))
    moved = [(key, amount_pico) for key, amount_pico in ordered if amount_pico]
    return tuple(
        _transfer(key, amount_pico, batch, sequence)
        for sequence, (key, amount_pico) in enumerate(moved, start=1)
    )


def receive(receipts: Iterable[Receipt], batch: int, sequence: int) -> tuple[Transfer, ...]:
    """The transfers of what was paid in, each by itself, from a sequence on."""
    return tuple(
        Transfer(
            batch=batch,
            sequence=place,
            debit=accounts.RECEIVED,
            credit=accounts.paid(each.customer),
            amount_pico=each.amount_pico,
            currency=each.currency,
            code="receipt",
            period=accounts.STANDING,
        )
        for place, each in enumerate((r for r in receipts if r.amount_pico > 0), start=sequence)
    )


def _place(key: _Key) -> tuple[str, str, int, str, str]:
    period, currency, code, debit, credit = key
    return period, currency, _ORDER[code], debit, credit


def _transfer(key: _Key, amount_pico: int, batch: int, sequence: int) -> Transfer:
    period, currency, code, debit, credit = key
    if amount_pico < 0:
        debit, credit = credit, debit
    return Transfer(
        batch=batch,
        sequence=sequence,
        debit=debit,
        credit=credit,
        amount_pico=abs(amount_pico),
        currency=currency,
        code=code,
        period=period,
    )
