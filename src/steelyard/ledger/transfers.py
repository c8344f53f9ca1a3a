"""Transfers and account names.

A cent's way: the customer owes it (``customer/acme/unbilled``), it was sold
(``sales/acme-2026/qwen3-max``), and it is due to whoever earned it
(``earner/alibaba/model``, and what is left to ``earner/<operator>/margin``). An invoice moves
``unbilled`` to ``receivable``; a statement moves ``earner/<party>/<component>`` to
``earner/<party>/payable``; what rounding leaves goes to ``earner/<operator>/rounding``.

What a customer pays before it is earned is no sale: a deposit moves it from ``unbilled``, so that
it is invoiced, to a liability, and moves it back when it is earned, so that the invoice of the sale
is lower by it:

- ``customer/acme/advance``: of a project, until milestones are accepted;
- ``customer/acme/deferred``: of a term that is paid ahead, until each of its months;
- ``customer/acme/prepaid``, ``customer/acme/budget``: of a savings plan or a project, until calls
  draw on it, or it is kept or returned at its end.

``customer/acme/retention`` is the reverse: what the customer keeps back of a sale stands there as a
claim until it is released. Each of them is at zero over all months once its story is over.

What a customer pays in under a contract goes from ``cash/received`` to ``customer/acme/paid``, both
of no month: what calls may draw on, beside a credit limit.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Code = Literal["charge", "cost", "margin", "deposit", "invoice", "statement", "rounding", "receipt"]

STANDING = "standing"
"""The period of accounts that live across all months."""
State = Literal["pending", "posted", "void"]


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """An amount moved from one account to another. Unit: pico-units, positive.

    ``period`` is the month it is invoiced or settled with. ``batch`` is the batch that booked it;
    transfers of a closing carry the last batch booked before it.
    """

    batch: int
    sequence: int
    debit: str
    credit: str
    amount_pico: int
    currency: str
    code: Code
    period: str
    state: State = "posted"


RECEIVED = "cash/received"
"""Where money comes in."""


def paid(customer: str) -> str:
    """What a customer has paid in."""
    return f"customer/{customer}/paid"


def unbilled(customer: str) -> str:
    """What a customer owes and has not been invoiced for."""
    return f"customer/{customer}/unbilled"


def receivable(customer: str) -> str:
    """What a customer was invoiced for and has not paid."""
    return f"customer/{customer}/receivable"


def deposited(customer: str, account: str) -> str:
    """What a customer paid and has not been given, or kept back and has been given."""
    return f"customer/{customer}/{account}"


def sales(contract: str, model: str) -> str:
    """What was sold of a model under a contract; at zero once it is split."""
    return f"sales/{contract}/{model}"


def earned(party: str, component: str) -> str:
    """What a party earned for a component and has no statement of."""
    return f"earner/{party}/{component}"


def payable(party: str) -> str:
    """What a party's statements say it is owed and it has not been paid."""
    return f"earner/{party}/payable"
