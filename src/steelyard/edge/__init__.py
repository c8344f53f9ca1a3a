"""Edge: HTTP. OpenAI's API for callers, and the one table from refusal to status and body.

Owns: the server, the routes, reading a bounded body, the shapes of answers and errors.
Does not own: who may call what and what a call costs (``dispatch`` and below).

Invariants: every error has OpenAI's shape and a stable code from one table; a body, a head and
their times are bounded; nothing of a body is logged or kept.
"""
