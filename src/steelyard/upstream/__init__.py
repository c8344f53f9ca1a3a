"""Upstream: where answers come from. Wire formats, the transport, the embedded engine, the echo.

Owns: sockets to upstreams (``transport`` alone), what is asked in OpenAI's wire format and what an
upstream's error says (``openai``), the engine's process (``engine``), a fake that is a product
(``echo``).
Does not own: which upstream is chosen (``dispatch``), what was used (``metering``), prices.

Invariants: the caller's JSON reaches the upstream byte for byte, but for the fields that we set;
each foreign error is mapped once, at the transport; every wait and every answer is bounded; no
redirect is followed.
"""
