"""Standing: what is left of a call's limits, as its caller is told."""

from __future__ import annotations

import msgspec


class Room(msgspec.Struct, frozen=True, gc=False):
    """What is left of the tightest limit of a kind. Unit: requests or tokens; µs."""

    limit: int
    left: int
    reset_us: int


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What is left of a call's limits; None where nothing of the kind is limited."""

    requests: Room | None = None
    tokens: Room | None = None
