"""Telemetry: how calls go, told to whoever watches the gateway from outside.

Owns: the metrics and their page, the access log, traces and metrics over OTLP.
Does not own: what is charged (the journal); what is told and when (``dispatch.observing``).

Invariants: no key, prompt or answer is ever in it; a label has a bounded number of values; what a
call pays for being watched is microseconds, and what can't keep up drops and counts what it drops.
"""
