"""Stages: a call as it was understood, as it is tried at one deployment, and as that ended.

They are made for every call, read everywhere and written nowhere, so that they are plain classes,
which are compiled: a value of msgspec's is read a hundred times more slowly by what is compiled.
They are not changed once they are made.
"""

from __future__ import annotations

from steelyard.catalogue.documents import Deployment
from steelyard.dispatch.calls import Arrival, Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.tabs import Tab
from steelyard.governance.keys import Key
from steelyard.values.usage import Outcome, Source


class Call:
    """A call that was understood, and whose it is.

    ``tab`` is what it holds of its cover; None: nobody limits that.
    """

    def __init__(
        self, *, arrival: Arrival, key: Key, ask: Ask, edition: int, tab: Tab | None = None
    ) -> None:
        self.arrival = arrival
        self.key = key
        self.ask = ask
        self.edition = edition
        self.tab = tab

    def asking(self, ask: Ask) -> Call:
        """The same call, had it asked for this."""
        return Call(arrival=self.arrival, key=self.key, ask=ask, edition=self.edition, tab=self.tab)


class Attempt:
    """A call at one deployment, the ``number``-th that is asked.

    ``shadow_of`` is the call of which this is a copy, whose answer nobody sees.
    """

    def __init__(
        self, call: Call, deployment: Deployment, number: int = 1, shadow_of: bytes | None = None
    ) -> None:
        self.arrival = call.arrival
        self.key = call.key
        self.ask = call.ask
        self.edition = call.edition
        self.tab = call.tab
        self.deployment = deployment
        self.number = number
        self.shadow_of = shadow_of


class End:
    """How an attempt ended.

    ``meters`` are the tokens that the caller received, empty when it received nothing; ``produced``
    those that were made, None where that is the same. ``body`` is what the caller still gets: all
    of a plain answer, the end of a stream that has ``begun``. ``refusal`` is what the caller is
    told, ``error`` the code that is recorded. ``taken_us`` is its whole length, ``waited_us`` how
    much of it the upstream took until its first byte, or until all of a plain answer was there.
    ``service_tier`` is what the upstream calls the service that it gave. Unit: bytes, µs, ms.
    """

    def __init__(  # noqa: PLR0913 - an end has what it has
        self,
        *,
        outcome: Outcome,
        meters: dict[str, int],
        produced: dict[str, int] | None,
        sources: dict[str, Source],
        refusal: Refusal | None,
        error: str | None,
        begun: bool,
        body: bytes,
        sent_bytes: int,
        first_token_us: int | None,
        taken_us: int,
        waited_us: int,
        compute_ms: int,
        compute_source: Source,
        upstream_id: str | None,
        service_tier: str | None,
    ) -> None:
        self.outcome: Outcome = outcome
        self.meters = meters
        self.produced = produced
        self.sources = sources
        self.refusal = refusal
        self.error = error
        self.begun = begun
        self.body = body
        self.sent_bytes = sent_bytes
        self.first_token_us = first_token_us
        self.taken_us = taken_us
        self.waited_us = waited_us
        self.compute_ms = compute_ms
        self.compute_source: Source = compute_source
        self.upstream_id = upstream_id
        self.service_tier = service_tier
