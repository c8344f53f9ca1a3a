"""Balances: what transfers add up to on each account, and the rules that the sums obey."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from steelyard.ledger.transfers import Transfer
from steelyard.values.money import AMOUNT_LIMIT_PICO

Account = tuple[str, str, str]
"""An account's name, a currency and a period: what of an account belongs to which month."""


class LedgerError(ValueError):
    """A transfer that may not be booked, or a sum that does not hold."""

    code = "ledger_rule_broken"


class Balance(msgspec.Struct, frozen=True):
    """What was debited to an account and what was credited. Unit: pico-units, never negative."""

    debit_pico: int = 0
    credit_pico: int = 0

    @property
    def net_pico(self) -> int:
        """Debits less credits: positive for what others owe, negative for what is owed to them."""
        return self.debit_pico - self.credit_pico


NOTHING = Balance()

Balances = Mapping[Account, Balance]


def touched(transfers: Iterable[Transfer]) -> set[Account]:
    """The accounts that transfers move."""
    return {
        (name, transfer.currency, transfer.period)
        for transfer in transfers
        for name in (transfer.debit, transfer.credit)
    }


def apply(balances: Balances, transfers: Iterable[Transfer]) -> dict[Account, Balance]:
    """The new balances of the accounts that transfers move.

    Raises: LedgerError for a transfer that may not be booked, and for a sum too large to keep.
    """
    debits: defaultdict[Account, int] = defaultdict(int)
    credits_: defaultdict[Account, int] = defaultdict(int)
    moved: list[Transfer] = list(transfers)
    for transfer in moved:
        _check(transfer)
        where = (transfer.currency, transfer.period)
        debits[transfer.debit, *where] += transfer.amount_pico
        credits_[transfer.credit, *where] += transfer.amount_pico
    after: dict[Account, Balance] = {}
    for account in sorted(touched(moved)):
        before = balances.get(account, NOTHING)
        balance = Balance(
            before.debit_pico + debits[account], before.credit_pico + credits_[account]
        )
        if max(balance.debit_pico, balance.credit_pico) > AMOUNT_LIMIT_PICO:
            msg = f"{' '.join(account)} would hold more than can be kept exactly"
            raise LedgerError(msg)
        after[account] = balance
    return after


def sums(balances: Balances) -> dict[str, int]:
    """Each currency's sum over all accounts; double entry makes it zero. Unit: pico-units."""
    found: defaultdict[str, int] = defaultdict(int)
    for (_, currency, _), balance in balances.items():
        found[currency] += balance.net_pico
    return dict(found)


def faults(balances: Balances) -> Iterator[str]:
    """What is wrong with the balances of whole batches, a sentence each; nothing when all hold."""
    for currency, sum_pico in sorted(sums(balances).items()):
        if sum_pico:
            yield f"the accounts in {currency} sum to {sum_pico} pico-units, not to zero"
    for account, balance in sorted(balances.items()):
        if account[0].startswith("sales/") and balance.net_pico:
            yield f"{' '.join(account)} is at {balance.net_pico} pico-units, not at zero"


def _check(transfer: Transfer) -> None:
    where = f"transfer {transfer.batch}.{transfer.sequence}"
    if transfer.amount_pico <= 0:
        msg = f"{where} moves {transfer.amount_pico} pico-units; only more than nothing is booked"
        raise LedgerError(msg)
    if transfer.debit == transfer.credit:
        msg = f"{where} debits and credits {transfer.debit}"
        raise LedgerError(msg)
    if transfer.state != "posted":
        msg = f"{where} is {transfer.state}; balances count what is posted"
        raise LedgerError(msg)
