"""Stages: a call as it was understood, as it is tried at one deployment, and as that ended."""

from __future__ import annotations

import msgspec

from steelyard.catalogue.documents import Deployment
from steelyard.dispatch.calls import Arrival, Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.tabs import Tab
from steelyard.governance.keys import Key
from steelyard.values.usage import Outcome, Source


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was understood, and whose it is."""

    arrival: Arrival
    key: Key
    ask: Ask
    edition: int
    tab: Tab | None = None
    """What it holds of its cover; None: nobody limits that."""


class Attempt(Call, frozen=True, kw_only=True):
    """A call at one deployment, the ``number``-th that is asked."""

    deployment: Deployment
    number: int = 1
    shadow_of: bytes | None = None
    """The call of which this is a copy, whose answer nobody sees."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    ``meters`` are the tokens that the caller received, empty when it received nothing; ``produced``
    those that were made, None where that is the same. ``body`` is what the caller still gets: all
    of a plain answer, the end of a stream that has ``begun``. ``refusal`` is what the caller is
    told, ``error`` the code that is recorded. ``taken_us`` is its whole length, ``waited_us`` how
    much of it the upstream took until its first byte, or until all of a plain answer was there.
    Unit: bytes, µs, ms.
    """

    outcome: Outcome
    meters: dict[str, int]
    produced: dict[str, int] | None
    sources: dict[str, Source]
    refusal: Refusal | None
    error: str | None
    begun: bool
    body: bytes
    sent_bytes: int
    first_token_us: int | None
    taken_us: int
    waited_us: int
    compute_ms: int
    compute_source: Source
    upstream_id: str | None
    service_tier: str | None = None
    """What the upstream calls the service that it gave."""
