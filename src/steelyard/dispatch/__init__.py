"""Dispatch: one call, from its key to its last byte.

Owns: the control flow of a call (``serve``) and of its attempts (``trying``), what a worker knows
(``snapshot``), whom a call may ask and in which order (``router``), what it holds of its limits
(``allowances``) and where it waits (``places``), which answers are given again (``cache``), why it
is refused (``refusals``).
Does not own: HTTP (``edge``), sockets and wire formats (``upstream``), the journal's files
(``metering``), prices.

Invariants: no database and no disk read on the way; a refusal is a value, checked in a fixed order;
an attempt is announced before its upstream is called, and its record is with the kernel before the
caller has the last byte; nothing is tried again after its first byte; what the caller received is
charged, what was produced is cost; everything is bounded.
"""
