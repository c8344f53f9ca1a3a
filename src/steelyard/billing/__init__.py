"""Billing: what a payer owes for a period, as invoices.

Owns: the invoice as a value, made from sums of charge lines and the documents in force.
Does not own: how it is printed and booked (``clerk``), what earners are due (``settlement``).

Invariants: ``units × price = amount`` on every line, the lines sum to the total, and the total is
rounded once; the same lines always give the same invoice.
"""
