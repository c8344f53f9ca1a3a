"""Periods: what contracts charge by period or by event, from their items and what happened.

Each kind of item is one file with one function of one shape, and one line in ``charging.KINDS``:
what is due of an item in a span of time, in order. A charge comes about in this order:
1. Fees, reservations, deployments, projects, licences and training: by their own events alone.
2. Commitments: by what was charged in their term, calls and the above.
3. Credits for bad service: a part of what was charged in the month.
4. Savings plans and budgets: charges, less the credits, draw on what was paid before.
5. Bundles and share rules divide each charge of 1 over those who earned it.

Invariants: ``units × price_pico = amount_pico``; amounts of terms are whole coins, and parts of a
term sum to it; what is deposited comes back to zero; equal documents, events and charges give equal
lines, so that a second look finds nothing to book.
"""
