from __future__ import annotations

import msgspec
import pytest

from steelyard.ledger import balances
from steelyard.ledger.balances import Balance, LedgerError
from steelyard.ledger.transfers import Transfer
from steelyard.values.money import AMOUNT_LIMIT_PICO

SALE = Transfer(
    batch=1,
    sequence=1,
    debit="customer/acme/unbilled",
    credit="sales/c/m",
    amount_pico=100,
    currency="CNY",
    code="charge",
    period="2026-11",
)
OWED: balances.Account = ("customer/acme/unbilled", "CNY", "2026-11")
ELSEWHERE = ("customer/acme/unbilled", "CNY", "2026-12")
SOLD = ("sales/c/m", "CNY", "2026-11")


def but(**changes):
    return msgspec.structs.replace(SALE, **changes)


def test_a_transfer_moves_two_accounts():
    before = {OWED: Balance(5, 1), ELSEWHERE: Balance(3, 3)}
    after = balances.apply(before, [SALE, but(amount_pico=1)])
    assert after == {OWED: Balance(106, 1), SOLD: Balance(0, 101)}
    assert after[OWED].net_pico == 105
    assert before[OWED] == Balance(5, 1)


@pytest.mark.parametrize(
    ("transfer", "sentence"),
    [
        (but(amount_pico=0), "more than nothing"),
        (but(amount_pico=-1), "more than nothing"),
        (but(credit=SALE.debit), "debits and credits customer/acme/unbilled"),
        (but(state="pending"), "is pending"),
        (but(amount_pico=AMOUNT_LIMIT_PICO + 1), "more than can be kept"),
    ],
)
def test_what_breaks_a_rule_is_not_booked(transfer, sentence):
    with pytest.raises(LedgerError, match=sentence):
        balances.apply({}, [transfer])


def test_a_sum_that_overflows_is_refused():
    full = {OWED: Balance(AMOUNT_LIMIT_PICO, 0)}
    with pytest.raises(LedgerError, match="more than can be kept exactly"):
        balances.apply(full, [but(amount_pico=1)])


@pytest.mark.parametrize(
    ("found", "sentences"),
    [
        ({}, []),
        ({OWED: Balance(7, 0), ("earner/x/model", "CNY", "2026-11"): Balance(0, 7)}, []),
        ({SOLD: Balance(7, 7)}, []),
        ({OWED: Balance(7, 0)}, ["the accounts in CNY sum to 7 pico-units, not to zero"]),
        (
            {SOLD: Balance(0, 7), OWED: Balance(7, 0)},
            ["sales/c/m CNY 2026-11 is at -7 pico-units, not at zero"],
        ),
    ],
)
def test_faults_are_named(found, sentences):
    assert list(balances.faults(found)) == sentences
