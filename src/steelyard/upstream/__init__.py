"""Upstream: where answers come from. Wire formats, the transport, the embedded engine, the echo.

Owns: what a way to an upstream is (``transport``), the two clients that are one (``client`` on its
``connection``, ``library`` for proxies and HTTP/2, chosen by ``connect``), an upstream's keys in
turn (``keyring``, ``keyed``), what is asked in OpenAI's wire format and what an upstream's error
says (``openai``), Anthropic's format told as that (``messages``), the engine's process
(``engine``), a fake that is a product (``echo``).
Does not own: which upstream is chosen (``dispatch``), what was used (``metering``), prices.

Invariants: the caller's JSON reaches the upstream byte for byte, but for the fields that we set;
each foreign error is mapped once, at the transport; every wait and every answer is bounded; no
redirect is followed.
"""
