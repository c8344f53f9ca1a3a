"""Records: what the journal is told of a call, before and after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from steelyard.dispatch import labels
from steelyard.dispatch.calls import Ask
from steelyard.dispatch.stages import Attempt, Call, End
from steelyard.values.usage import Announcement, Source, Try, UsageRecord

BYTES_PER_TOKEN: Final = 4
"""How long a token is where nobody counted: English text in today's tokenizers."""

NAME_CHARS_MAX: Final = 128
"""Names that others chose (``user``, an upstream's id) are kept up to here."""


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


def announcement(attempt: Attempt, tries: tuple[Try, ...] = ()) -> Announcement:
    """What is written before the upstream is called; ``tries`` are the attempts before."""
    arrival, key, deployment = attempt.arrival, attempt.key, attempt.deployment
    return Announcement(
        call_id=arrival.call_id,
        attempt=attempt.number,
        at_us=arrival.at_us,
        edition=attempt.edition,
        customer=key.customer,
        contract=key.contract,
        key_id=key.id,
        model=deployment.model,
        deployment=deployment.id,
        expected=expected(attempt.ask),
        tries=tries,
        asked=_asked(attempt),
        shadow_of=attempt.shadow_of,
    )


def tried(attempt: Attempt, end: End | None) -> Try:
    """An attempt that did not become the answer; None: it is under way, and may never end."""
    if end is None:
        produced = expected(attempt.ask)
        sources: dict[str, Source] = dict.fromkeys(produced, "estimated")
    else:
        made = end.meters if end.produced is None else end.produced
        produced = made | _measured(attempt, end) if made else {}
        sources = _sources(end, produced) if made else {}
    return Try(
        attempt=attempt.number,
        model=attempt.deployment.model,
        deployment=attempt.deployment.id,
        outcome="interrupted" if end is None else end.outcome,
        produced=produced,
        sources=sources,
        error=None if end is None else end.error,
        duration_us=None if end is None else end.taken_us,
    )


def hit(call: Call, original: UsageRecord, egress_bytes: int, taken_us: int) -> UsageRecord:
    """What is written of a call that was answered from the cache.

    It names the deployment that answered first, whose price holds, and has none of its meters.
    """
    ask = call.ask
    meters = {"cache_hits": 1, "ingress_bytes": ask.ingress_bytes, "egress_bytes": egress_bytes}
    return UsageRecord(
        call_id=call.arrival.call_id,
        at_us=call.arrival.at_us,
        edition=call.edition,
        customer=call.key.customer,
        contract=call.key.contract,
        key_id=call.key.id,
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


def record(
    attempt: Attempt,
    end: End,
    status: int | None,
    duration_us: int,
    tries: tuple[Try, ...] = (),
) -> UsageRecord:
    """What is written before the last byte leaves: ``status`` is what the caller sees.

    Charged and produced are measured alike, so that they differ in tokens alone. A request is
    counted when it was answered, whole or until the caller hung up.
    """
    arrival, key, ask, deployment = attempt.arrival, attempt.key, attempt.ask, attempt.deployment
    measured = {
        "ingress_bytes": ask.ingress_bytes,
        "compute_ms": end.compute_ms,
        "egress_bytes": end.sent_bytes + len(end.body),
    }
    if end.outcome != "failed":
        measured["requests"] = 1
    meters = end.meters | measured if end.meters else {}
    produced = end.produced | measured if end.produced else None
    sources = _sources(end, measured) if meters or produced else {}
    return UsageRecord(
        call_id=arrival.call_id,
        at_us=arrival.at_us,
        edition=attempt.edition,
        customer=key.customer,
        contract=key.contract,
        key_id=key.id,
        model=deployment.model,
        deployment=deployment.id,
        outcome=end.outcome,
        meters=meters,
        sources=sources,
        produced=produced,
        attempts=1 + len(tries),
        first_token_us=end.first_token_us,
        duration_us=duration_us,
        streamed=ask.streamed,
        status=status,
        error=end.error,
        user=None if ask.user is None else ask.user[:NAME_CHARS_MAX],
        upstream_id=end.upstream_id,
        service_tier=labels.service_tier(end.service_tier, deployment),
        region=deployment.region or "",
        mode=labels.mode(ask.fields, end.meters, deployment),
        tries=tries,
        asked=_asked(attempt),
    )


def shadow(attempt: Attempt, end: End, duration_us: int) -> UsageRecord:
    """What is written of a copy of a call: nobody is charged for it, and its cost is ours."""
    found = record(attempt, end, None, duration_us)
    made = found.meters if found.produced is None else found.produced
    return msgspec.structs.replace(
        found, meters={}, produced=made, shadow_of=attempt.shadow_of, user=None
    )


def _asked(attempt: Attempt) -> str | None:
    """The model that the caller named, where the one that answers is another."""
    model = attempt.ask.model
    return None if model == attempt.deployment.model else model


def _measured(attempt: Attempt, end: End) -> dict[str, int]:
    return {"ingress_bytes": attempt.ask.ingress_bytes, "compute_ms": end.compute_ms}


def _sources(end: End, measured: Iterable[str]) -> dict[str, Source]:
    sources: dict[str, Source] = dict.fromkeys(measured, "measured")
    sources |= end.sources
    sources["compute_ms"] = end.compute_source
    return sources
