"""Store: all SQL, in one schema for SQLite and PostgreSQL, and the queries over the line files.

Owns: tables, engines and their pragmas, transactions, leases, the object store that machines share;
what the Protocols of lower rooms ask for.
Does not own: any rule of money; it keeps what ``ledger``, ``billing`` and ``governance`` computed.

Invariants: one writer of the books at a time; amounts are exact integers in both dialects; a batch
is in the books whole or not at all; nothing booked is updated but cursors and balances, which the
journal and the transfers give again.
"""
