"""Periods: what contracts charge by period or by event, from their items and what happened.

Each kind of item is one file, with a function that says what is due of it in a month and a line in
a table of ``charging``. What is due comes about in this order:
1. Fees, reservations, deployments, projects, licences and training: by their own events alone.
2. Commitments: by what was charged in their term, calls and the above.
3. Credits for bad service: a part of what calls, and items that are named, cost in the month.
4. Savings plans and budgets: what calls cost is taken off what was paid before.
Each charge is then divided over those who earned it, by a bundle or by the share rules.

Invariants: ``units × price_pico = amount_pico``; amounts of terms are whole coins, and parts of a
term sum to it; what is deposited comes back to zero; equal documents, events and charges give equal
lines, so that a second look finds nothing to book.
"""
