"""Rating: from usage records and the documents in force to charge lines, exactly.

Owns: the scalar specification (``scalar``), the columnar engine (``columnar``), the calendar, the
lines' shape, and the order of steps.
Does not own: which documents there are (``catalogue``), accounts (``ledger``), files.

A call's price comes about in this order, and in no other:

1. The version of the contract in force when the call was admitted, and its first ``[[price]]`` for
   the call's model and labels; of a book, the listed price. First, since all that follows belongs
   to that price.
2. Discount and the calendar's factor, multiplied into the price and rounded once. They are of the
   price, not of the call: a unit costs a whole number of pico-units before any unit is counted.
3. The context tier: by the prompt's whole length, or token by token. After the calendar, so that a
   tier's limit never moves with the hour.
4. Lines: units times price, no rounding. What depends on other calls (a month's tiers, free units)
   would come here, between units and lines: it divides a call's units, and never changes a price.
5. Costs, by component, of what was produced. Last, since they know nothing of what was charged.

Invariants: ``units × price_pico = amount_pico`` on every line; scalar and columnar give the same
lines bit for bit; rating is a function of records and edition alone.
"""
