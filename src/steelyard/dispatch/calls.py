"""Calls: what the edge knows of one, and what dispatch needs of whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from msgspec import Raw

from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.standing import Standing
from steelyard.dispatch.tracing import Trace

Operation = Literal["chat", "embeddings"]

Headers = str
"""Lines of an answer's head as they are sent, each with its end."""


class Arrival(msgspec.Struct, frozen=True):
    """A request's beginning. Unit: ``at_us`` µs since 1970 UTC; ``started_us`` monotonic µs.

    ``cache`` is what the caller wishes of the response cache, ``deployments`` which it wants to be
    asked, ``session`` which calls belong together, ``clamp`` whether its answer may be cut down.
    """

    call_id: bytes
    at_us: int
    started_us: int
    secret: str | None
    trace: Trace | None = None
    cache: str = ""
    deployments: str | None = None
    session: str | None = None
    clamp: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a model. ``fields`` is the body, each value as the caller wrote it.

    ``deployments`` is what the body says of them, where no header does.
    """

    kind: Operation
    model: str
    fields: dict[str, Raw]
    ingress_bytes: int
    streamed: bool = False
    include_usage: bool = False
    include_cost: bool = False
    output_tokens_max: int | None = None
    choices: int = 1
    user: str | None = None
    deployments: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, recorded already."""

    body: bytes
    headers: Headers = ""


class CallerGoneError(Exception):
    """The caller hung up."""


class Caller(Protocol):
    """Whoever made the call, at the other end of a connection."""

    @property
    def arrival(self) -> Arrival:
        """When and with what the call began."""
        ...

    async def ask(self) -> Ask | Refusal:
        """Read what is asked. Raises: CallerGoneError."""
        ...

    def tell(self, standing: Standing) -> None:
        """Tell what is left of the call's limits, with whatever is answered."""
        ...

    def note(self, headers: Headers) -> None:
        """Have these headers sent with whatever is answered."""
        ...

    def begin(self, headers: Headers = "") -> None:
        """Send the head of a stream."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a part of a stream. Raises: CallerGoneError."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a part of a stream can be sent without waiting."""
        ...

    def send_now(self, data: bytes) -> None:
        """Send a part of a stream to a caller that is ready."""
        ...

    async def fail(self, refusal: Refusal) -> None:
        """Say in a stream why there is no more of it. Raises: CallerGoneError."""
        ...

    def status_of(self, refusal: Refusal) -> int:
        """The status with which a refusal is answered."""
        ...

    async def gone(self) -> None:
        """Return when the caller hangs up."""
        ...

    def when_gone(self, told: Callable[[], None]) -> Callable[[], object]:
        """Have it called when the caller hangs up; calling what comes back takes that back."""
        ...
