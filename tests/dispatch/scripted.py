"""A studio of several deployments, each of which does what its script says, call after call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from steelyard.catalogue.documents import Edition, PriceRule
from steelyard.catalogue.routes import Route
from steelyard.dispatch.calls import Arrival, Ask
from steelyard.dispatch.desk import Desk, Limits
from steelyard.upstream.transport import Kind, Reply, Request, UpstreamError
from tests.dispatch.studio import KEY, deployment, model, snapshot
from tests.dispatch.test_serve import DONE, EVENTS, WHOLE, World
from tests.rating.documents import contract, edition, flat

STUDIO = msgspec.structs.replace(
    edition(
        contract(
            PriceRule(model="m", tariff=flat(input_tokens="1", output_tokens="2")),
            PriceRule(model="big", tariff=flat(input_tokens="10", output_tokens="20")),
        )
    ),
    models=(model("m"), model("big"), model("unsold")),
    deployments=tuple(
        deployment(name, of)
        for name, of in (("a", "m"), ("b", "m"), ("c", "m"), ("big-1", "big"), ("no", "unsold"))
    ),
)


class Says(NamedTuple):
    """An upstream's answer: its status, and its parts, the first once ``wait`` is over."""

    status: int = 200
    parts: Sequence[bytes | UpstreamError] = (WHOLE,)
    retry_after: str = ""
    wait: asyncio.Event | None = None


OK = Says()
STREAM = Says(parts=(*EVENTS, DONE))
BROKEN = Says(parts=(UpstreamError(Kind.BROKEN, "reset"),))
NOTHING = Says(parts=())
CUT = Says(parts=(EVENTS[0], UpstreamError(Kind.BROKEN, "reset")))
WRONG = Says(400, (b'{"error":{"message":"no"}}',))
DOWN = Says(503, (b"",))


def busy(after: str = "") -> Says:
    return Says(429, (b"",), after)


class Place:
    """A deployment's transport: one script after the other, the last again and again."""

    def __init__(self, *scripts: Says | UpstreamError, streamed: bool = False) -> None:
        self.scripts = list(scripts)
        self.streamed = streamed
        self.asked: list[Request] = []
        self.cancelled = 0

    async def open(self, request: Request) -> Reply:
        script = self.scripts[min(len(self.asked), len(self.scripts) - 1)]
        self.asked.append(request)
        if isinstance(script, UpstreamError):
            raise script
        return _Reply(self, script)

    async def aclose(self) -> None: ...


class _Reply:
    def __init__(self, place: Place, script: Says) -> None:
        self.status = script.status
        self._place, self._script = place, script
        self._parts = list(script.parts)
        self._over = False

    def header(self, name: str) -> str:
        if name == "retry-after":
            return self._script.retry_after
        return "text/event-stream" if self._place.streamed else "application/json"

    async def read(self) -> bytes:
        if self._script.wait is not None:
            await self._script.wait.wait()
        part = self._parts.pop(0) if self._parts else b""
        if isinstance(part, UpstreamError):
            raise part
        self._over = not part
        return part

    def close(self) -> None:
        self._place.cancelled += not self._over


class Scene(World):
    """A world whose deployments are scripted; the world itself is journal and caller."""

    def __init__(self, streamed: bool = False, **scripts: Any) -> None:
        super().__init__(streamed=streamed)
        self.places = {
            name.replace("_", "-"): Place(
                *(each if isinstance(each, tuple) and not isinstance(each, Says) else (each,)),
                streamed=streamed,
            )
            for name, each in scripts.items()
        }
        self.wanted = ""
        self.began_us: int | None = None
        self.call = Ask(
            kind="chat",
            model="m",
            fields={"messages": msgspec.Raw(b'[{"role":"user","content":"twelve bytes"}]')},
            ingress_bytes=60,
            streamed=streamed,
        )

    @property
    def arrival(self) -> Arrival:
        began = super().arrival
        started_us = began.started_us if self.began_us is None else self.began_us
        return msgspec.structs.replace(began, deployments=self.wanted, started_us=started_us)

    async def ask(self) -> Ask:
        return self.call

    def scene(
        self, *routes: Route, studio: Edition = STUDIO, key: Any = KEY, **limits: Any
    ) -> Desk:
        transports = {each.id: Place(OK) for each in studio.deployments} | self.places
        known = snapshot(*(routes or (Route(model="m"),)), studio=studio, key=key)
        return Desk(known, transports, self, self.clock, lambda: 0, Limits(**limits))

    def asked_of(self) -> dict[str, int]:
        return {name: len(place.asked) for name, place in self.places.items() if place.asked}
