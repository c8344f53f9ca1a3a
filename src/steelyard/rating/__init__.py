"""Rating: from usage records and the documents in force to charge lines, exactly.

Owns: the scalar specification (``scalar``), the columnar engine (``columnar``), the lines' shape.
Does not own: which documents there are (``catalogue``), accounts (``ledger``), files.

Invariants: ``units × price_pico = amount_pico`` on every line; scalar and columnar give the same
lines bit for bit; rating is a function of records and edition alone.
"""
