"""Records: what the journal is told of a call, before and after."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from steelyard.catalogue.documents import Deployment
from steelyard.dispatch import labels
from steelyard.dispatch.calls import Arrival, Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.tabs import Tab
from steelyard.governance.keys import Key
from steelyard.values.usage import Announcement, Outcome, Source, Try, UsageRecord

BYTES_PER_TOKEN = 4
"""How long a token is where nobody counted: English text in today's tokenizers."""

NAME_CHARS_MAX = 128
"""Names that others chose (``user``, an upstream's id) are kept up to here."""


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

    @property
    def asked(self) -> str | None:
        """The model that the caller named, where this is another one."""
        return None if self.ask.model == self.deployment.model else self.ask.model


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
        asked=attempt.asked,
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
        asked=attempt.asked,
    )


def shadow(attempt: Attempt, end: End, duration_us: int) -> UsageRecord:
    """What is written of a copy of a call: nobody is charged for it, and its cost is ours."""
    found = record(attempt, end, None, duration_us)
    made = found.meters if found.produced is None else found.produced
    return msgspec.structs.replace(
        found, meters={}, produced=made, shadow_of=attempt.shadow_of, user=None
    )


def _measured(attempt: Attempt, end: End) -> dict[str, int]:
    return {"ingress_bytes": attempt.ask.ingress_bytes, "compute_ms": end.compute_ms}


def _sources(end: End, measured: Iterable[str]) -> dict[str, Source]:
    sources: dict[str, Source] = dict.fromkeys(measured, "measured")
    sources |= end.sources
    sources["compute_ms"] = end.compute_source
    return sources
