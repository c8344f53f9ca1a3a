"""Metering: weighing what a call used, and the journal that remembers it.

Owns: the journal's files (one writer each, append only, checksummed), their recovery after a
crash, and the reading of usage from upstream responses and streams.
Does not own: sockets, prices, accounts, what a call costs. Imports only values and msgspec.

Invariants:
- once: an announced call gets exactly one record, from its writer or from recovery;
- weighed first: what `announce`, `record` and `block` wrote is with the kernel when they return,
  and on the disk when `settled` returns under `durability = "disk"`;
- room before need: an announcement takes the space of its record with it, so that a full disk
  refuses new calls and never loses a running one;
- located: a flipped bit anywhere in a segment is found, with file and offset;
- disjoint: meters never overlap; an unknown count is absent, an explicit zero is a zero.
"""
