"""Usage records: what the journal holds of a call.

They are arrays on disk (``array_like``): a later version appends fields with defaults, and never
moves or reuses one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Source = Literal["upstream", "counted", "estimated", "imported", "measured"]
"""Where a count came from: the upstream's own usage; the model's tokenizer; an estimate; a trace;
Steelyard's own instruments (bytes, milliseconds, requests)."""

Outcome = Literal["completed", "cancelled", "failed", "interrupted"]
"""How a call ended: answered whole; the caller hung up; the upstream failed; we were killed."""

Origin = Literal["live", "imported", "recovered"]

STANDARD = "standard"
"""The service tier of a call of which nothing else is said."""

SERVICE_TIERS = (STANDARD, "priority", "flex", "batch")

THINKING = "thinking"
"""The mode of a call whose answer was thought about first."""


class Try(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An attempt of a call that did not become its answer.

    ``produced`` is what was made and costs us, at this model's and this deployment's costs; its
    caller received nothing of it, and is charged nothing. Unit: ``duration_us`` µs.
    """

    attempt: int
    model: str
    deployment: str
    outcome: Outcome
    produced: dict[str, int]
    sources: dict[str, Source]
    error: str | None = None
    duration_us: int | None = None


class Announcement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An attempt about to be made: written before its upstream is called.

    Should no record follow, recovery closes the call from this.

    Unit: ``at_us`` microseconds since 1970-01-01 UTC. ``expected`` meters are a best estimate of
    what the attempt costs us when its end is never seen. ``tries`` are the attempts of the call
    before this one; one that is still under way is told as if it were interrupted.
    """

    call_id: bytes
    attempt: int
    at_us: int
    edition: int
    customer: str
    contract: str
    key_id: str
    model: str
    deployment: str
    expected: dict[str, int]
    tries: tuple[Try, ...] = ()
    asked: str | None = None
    """The model that the caller named, where it is not the one that is tried."""
    shadow_of: bytes | None = None
    """The call of which this one is a copy, made for ourselves."""


class UsageRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call, weighed.

    Unit: ``*_us`` microseconds (``at_us`` since 1970-01-01 UTC by the wall clock at admission, the
    others durations by the monotonic clock). ``call_id`` is 16 bytes, a UUIDv7.
    ``meters`` is what the caller is charged for; ``produced`` what was made and costs us, None
    where that is the same. ``sources`` says for each meter where its count came from.
    ``edition`` names the recorded set of contracts and prices; with ``at_us`` it fixes the versions
    in force at admission.
    """

    call_id: bytes
    at_us: int
    edition: int
    customer: str
    contract: str
    key_id: str
    model: str
    deployment: str
    outcome: Outcome
    meters: dict[str, int]
    sources: dict[str, Source]
    produced: dict[str, int] | None = None
    origin: Origin = "live"
    attempts: int = 1
    first_token_us: int | None = None
    duration_us: int | None = None
    streamed: bool = False
    status: int | None = None
    """The HTTP status that the caller saw; None for a call that was never on the wire."""
    error: str | None = None
    """The stable error code, when the call did not complete."""
    user: str | None = None
    """The end user or client that the caller named (a trace's client, OpenAI's ``user``)."""
    upstream_id: str | None = None
    """The upstream's own name of the call."""
    service_tier: str = STANDARD
    """What service the call was given: ``standard``, ``priority``, ``flex``, ``batch``."""
    region: str = ""
    """Where the call was served, as the prices name it."""
    mode: str = ""
    """How the model answered, as the prices name it: ``thinking``."""
    tries: tuple[Try, ...] = ()
    """The attempts that did not become the answer: what they made is a cost of this call."""
    asked: str | None = None
    """The model that the caller named, where another one answered."""
    shadow_of: bytes | None = None
    """The call of which this one is a copy, made for ourselves: nobody is charged for it."""
