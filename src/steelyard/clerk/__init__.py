"""Clerk: from the journal to the books, a batch at a time, and the closing of periods.

Owns: which records make a batch, that each is booked once, the line files, the order of writing,
closings, the audit that does it all again and compares.
Does not own: prices (``rating``), double entry (``ledger``), the journal (``metering``), SQL
(``store``).

Invariants: a batch's lines are on the disk under their final name before the one transaction that
books them; killed anywhere, it does the same again; equal ranges of the journal, editions and
closings give equal books.
"""
