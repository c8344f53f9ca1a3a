"""Lab: reports that only read. Where the money of a period goes, as values, diagram and page.

Owns: what is added up for a report, the layout of its diagram, its page.
Does not own: any amount (the lines' are shown as they are), how lines are read (``store``).

Invariants: nothing is written to the books; what a report shows adds up to the last digit, and to
the invoices and statements of the same period; currencies are never mixed.
"""
