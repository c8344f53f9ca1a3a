"""Facts: what is so though no call says it, written to the journal and kept with the books.

A milestone was accepted, a plan was changed, a call is to be taken back: whatever the books must
know to be made again, and that neither a call nor a document says.
"""

from __future__ import annotations

import msgspec


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact. Unit: ``at_us`` µs since 1970-01-01 UTC, when it was written down.

    ``fact_id`` is 16 bytes, a UUIDv7: a fact that is read twice counts once. ``kind`` names what is
    said, ``body`` says it as JSON of that kind's own struct. ``by`` is who says so. As with usage
    records, a later version appends fields with defaults.
    """

    fact_id: bytes
    at_us: int
    kind: str
    body: str
    by: str = ""
