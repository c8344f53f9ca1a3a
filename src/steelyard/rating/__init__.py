"""Rating: from usage records and the documents in force to charge lines, exactly.

Owns: the scalar specification (``scalar``), the columnar engine (``columnar``), the calendar, the
counters, the lines' shape, the order of steps. Does not own: documents, accounts, files.

A call's price comes about in this order, and in no other:
1. Version, ``[[price]]`` and listed price at its admission: all that follows belongs to them.
2. Discount and calendar multiply the price, rounded once: it is whole before units are counted.
3. Grants of units take the first: before all tiers, so that what is free makes nothing cheaper.
4. Tiers and blocks divide the rest, by the prompt or by a period: after the calendar, which moves
   no limit. Volume tiers price what a version has priced before again, when another is reached.
5. Units times price are lines, without rounding; what is less than a minimum is that minimum.
6. Credits of money take back what they pay: after all that is charged is known.
7. Costs of what was produced: last, since they know nothing of what was charged.

Counters are what a call leaves for the next (units that a grant covered, units of a month):
integers by name, moved on in the order of booking, kept and hashed with each batch.

Invariants: ``units × price_pico = amount_pico`` on every line; scalar and columnar give the same
lines and counters bit for bit; rating is a function of the records in their order, the editions and
the counters before; where no contract counts, of records and editions alone.
"""
