"""Traces: what others measured, read row by row and turned into usage records.

Owns: the formats (one file each, pure functions from a line of text to a row or a fault), and the
placing of rows under a contract. Does not own: the journal, prices, options of a command.

Invariants: a row that can't be read is set aside with its line and column, and nothing else is
lost; the id of a record follows from its row and its placement alone, so that the same rows, in
whatever file and however often, are the same calls; identical rows of one file are distinct calls.
"""
