"""Governance: who may call.

Owns: callers' keys, their making and hashing, and the Protocol of where issued ones are kept.
Does not own: the store that keeps them, contracts, the HTTP refusals that follow from a wrong key.

Invariants: a secret is shown once and never kept, only its SHA-256; a key belongs to one customer
and calls under one contract; a revoked key never opens again; "no" is a value, not an exception.
"""
