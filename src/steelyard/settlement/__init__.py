"""Settlement: what earners are due for a period, as statements.

Owns: the statement as a value, made from sums of cost lines; the operator's, with its margins and
the rounding of every document.
Does not own: how it is printed and booked (``clerk``), what payers owe (``billing``).

Invariants: for each currency the statements sum to what was charged, before rounding and after it;
``units × price = amount`` on every line; the same lines always give the same statement.
"""
