"""Ledger: double entry. Accounts, transfers, balances, and the rules that they obey.

Owns: account names, the transfers of a batch and of a closing, balances, the chain of hashes.
Does not own: SQL (``store``), prices (``rating``), documents people read (``billing``).

Invariants: a transfer debits one account and credits one, its amount is positive; each currency
sums to zero; what was sold is split whole, so a ``sales`` account is at zero after every batch;
nothing booked is edited.
"""
