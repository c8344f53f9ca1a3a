"""Catalogue: what can be sold. Models, deployments, price books, contracts, share rules, offers.

Owns: the documents' shapes, their parsing and checking with file, line and column, and which
version of each is in force at an instant.
Does not own: files (``studio`` reads them), amounts (``rating`` computes them), keys.

Invariants: documents are frozen; a price is an integer in pico-units of the document's currency;
nothing converts a currency; a version is chosen by when the call was admitted (valid from) within
an edition (recorded at).
"""
