"""Records: what the journal is told of a call, before and after."""

from __future__ import annotations

import msgspec

from steelyard.catalogue.documents import Deployment
from steelyard.dispatch.calls import Arrival, Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.governance.keys import Key
from steelyard.values.usage import Announcement, Outcome, Source, UsageRecord

BYTES_PER_TOKEN = 4
"""How long a token is where nobody counted: English text in today's tokenizers."""

NAME_CHARS_MAX = 128
"""Names that others chose (``user``, an upstream's id) are kept up to here."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A call at one deployment, admitted."""

    arrival: Arrival
    key: Key
    ask: Ask
    deployment: Deployment
    edition: int


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    ``meters`` are the tokens that the caller received, empty when it received nothing; ``produced``
    those that were made, None where that is the same. ``body`` is what the caller still gets: all
    of a plain answer, the end of a stream that has ``begun``. ``refusal`` is what the caller is
    told, ``error`` the code that is recorded. Unit: bytes, µs, ms.
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
    compute_ms: int
    compute_source: Source
    upstream_id: str | None


def expected(ask: Ask) -> dict[str, int]:
    """What an attempt costs us if nobody ever learns its end.

    The prompt by its length; an answer as long as was allowed, else as long as the prompt.
    """
    prompt = ask.ingress_bytes // BYTES_PER_TOKEN + 1
    meters = {"requests": 1, "ingress_bytes": ask.ingress_bytes, "input_tokens": prompt}
    if ask.kind == "chat":
        limit = ask.output_tokens_max
        output = limit if limit is not None and limit > 0 else prompt
        meters["output_tokens"] = output * ask.choices
    return meters


def announcement(attempt: Attempt) -> Announcement:
    """What is written before the upstream is called."""
    return Announcement(
        call_id=attempt.arrival.call_id,
        attempt=1,
        at_us=attempt.arrival.at_us,
        edition=attempt.edition,
        customer=attempt.key.customer,
        contract=attempt.key.contract,
        key_id=attempt.key.id,
        model=attempt.ask.model,
        deployment=attempt.deployment.id,
        expected=expected(attempt.ask),
    )


def hit(attempt: Attempt, original: UsageRecord, egress_bytes: int, taken_us: int) -> UsageRecord:
    """What is written of a call that was answered from the cache.

    It names the deployment that answered first, whose price holds, and has none of its meters.
    """
    ask = attempt.ask
    meters = {"cache_hits": 1, "ingress_bytes": ask.ingress_bytes, "egress_bytes": egress_bytes}
    return UsageRecord(
        call_id=attempt.arrival.call_id,
        at_us=attempt.arrival.at_us,
        edition=attempt.edition,
        customer=attempt.key.customer,
        contract=attempt.key.contract,
        key_id=attempt.key.id,
        model=ask.model,
        deployment=original.deployment,
        outcome="completed",
        meters=meters,
        sources=dict.fromkeys(meters, "measured"),
        attempts=0,
        duration_us=taken_us,
        streamed=ask.streamed,
        status=original.status,
        user=None if ask.user is None else ask.user[:NAME_CHARS_MAX],
        upstream_id=original.upstream_id,
        service_tier=original.service_tier,
        region=original.region,
        mode=original.mode,
    )


def record(attempt: Attempt, end: End, status: int | None, duration_us: int) -> UsageRecord:
    """What is written before the last byte leaves: ``status`` is what the caller sees.

    Charged and produced are measured alike, so that they differ in tokens alone. A request is
    counted when it was answered, whole or until the caller hung up.
    """
    ask = attempt.ask
    measured = {
        "ingress_bytes": ask.ingress_bytes,
        "egress_bytes": end.sent_bytes + len(end.body),
        "compute_ms": end.compute_ms,
    }
    if end.outcome != "failed":
        measured["requests"] = 1
    meters = end.meters | measured if end.meters else {}
    produced = end.produced | measured if end.produced else None
    sources: dict[str, Source] = {}
    if meters or produced:
        sources |= end.sources
        sources |= dict.fromkeys(measured, "measured")
        sources["compute_ms"] = end.compute_source
    return UsageRecord(
        call_id=attempt.arrival.call_id,
        at_us=attempt.arrival.at_us,
        edition=attempt.edition,
        customer=attempt.key.customer,
        contract=attempt.key.contract,
        key_id=attempt.key.id,
        model=ask.model,
        deployment=attempt.deployment.id,
        outcome=end.outcome,
        meters=meters,
        sources=sources,
        produced=produced,
        first_token_us=end.first_token_us,
        duration_us=duration_us,
        streamed=ask.streamed,
        status=status,
        error=end.error,
        user=None if ask.user is None else ask.user[:NAME_CHARS_MAX],
        upstream_id=end.upstream_id,
    )
