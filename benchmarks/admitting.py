"""A worker that admits calls and makes none: ``python -m benchmarks.admitting FOLDER URL``.

It answers lines over a socket: the number of a run comes in, ``ok`` and what the call took, or why
it was refused and how long it waited, goes out.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import time
from pathlib import Path

import uvloop

from steelyard import app
from steelyard.catalogue.offers import Offer
from steelyard.dispatch import purses, snapshot
from steelyard.dispatch.calls import Arrival, Ask, Caller, Headers
from steelyard.dispatch.cover import Cover
from steelyard.dispatch.paying import Paying, Wanting
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.router import Plan, Router
from steelyard.dispatch.stages import Call
from steelyard.governance.keys import Key
from steelyard.metering.journal import JournalWriter
from steelyard.rating import bounds, scalar
from steelyard.store.allowances import SqlAllowances
from steelyard.store.valkey_allowances import SCHEMES, ValkeyAllowances
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import ids
from steelyard.values.usage import Announcement, UsageRecord

PATIENCE_S = 2.0
RUNS_MAX = 100
PROMPT_TOKENS, ANSWER_TOKENS, BYTES = 300, 200, 100
MOST_PICO = (BYTES + 512 + 2 * ANSWER_TOKENS) * 10**6
"""The worst case of a call: its bytes and a template, and its answer, at 1 and 2 a million."""

ASK = Ask(
    kind="chat",
    model="echo",
    fields={},
    ingress_bytes=BYTES,
    output_tokens_max=ANSWER_TOKENS,
)


class Nobody:
    """A caller that waits for ever."""

    def note(self, headers: Headers) -> None:
        """Take no note."""

    async def gone(self) -> None:
        """Never hang up."""
        await asyncio.Event().wait()


class Worker:
    """What a gateway's worker does around a call, without the call."""

    def __init__(self, opened: Studio, url: str) -> None:
        self._clock = SystemClock()
        funds = purses.funds(opened.edition, opened.budgets)
        self._keys = [
            Key(id=f"run-{n}", customer="acme", contract="acme", sha256=f"{n}")
            for n in range(RUNS_MAX)
        ]
        self._snapshot = snapshot.take(1, opened.edition, self._keys, funds=funds)
        self._router = Router()
        name = f"gateway-{secrets.token_hex(8)}"
        self._journal = JournalWriter(
            opened.root / "journal", name, durability="process", clock=self._clock
        )
        store = ValkeyAllowances(url) if url.startswith(SCHEMES) else SqlAllowances(url)
        self.cover = Cover(store, name, self._clock, purses.stamp(funds))
        self._paying = Paying(self.cover, 600, PATIENCE_S)
        self._random = random.Random(name)
        self._caller = Nobody()

    async def admit(self, run: int) -> str:
        """Admit a call and weigh it; what its caller hears."""
        began_us = time.monotonic_ns() // 1000
        at_us, key = self._clock.wall_us(), self._keys[run]
        call_id = ids.uuid7(at_us, secrets.randbits(74))
        arrival = Arrival(call_id, at_us, began_us, None, clamp="never")
        call = Call(arrival=arrival, key=key, ask=ASK, edition=1)
        plan = self._router.plan(self._snapshot, call)
        assert isinstance(plan, Plan)
        found = self._paying.draw(self._snapshot, call, plan)
        if isinstance(found, Wanting):
            found = await self._paying.wait(found, _caller(self._caller), {})
        if isinstance(found, Refusal):
            return f"{found.code} {time.monotonic_ns() // 1000 - began_us}"
        return await self._make(found, plan.open_to[0].offer)

    async def _make(self, call: Call, offer: Offer) -> str:
        key, arrival = call.key, call.arrival
        names = (key.customer, key.contract, key.id, "echo", "echo")
        self._journal.announce(
            Announcement(arrival.call_id, 1, arrival.at_us, 1, *names, {"input_tokens": BYTES})
        )
        await asyncio.sleep(self._random.random() * 0.004)
        answer = self._random.randrange(50, ANSWER_TOKENS + 1)
        meters = {"input_tokens": PROMPT_TOKENS, "output_tokens": answer}
        record = UsageRecord(arrival.call_id, arrival.at_us, 1, *names, "completed", meters, {})
        assert call.tab is not None
        used = bounds.drawn_pico(record, offer, scalar.price_pico(record, offer))
        self._paying.cover.settle(call.tab.drawn, used)
        self._journal.record(record)
        return f"ok {used}"


def _caller(nobody: Nobody) -> Caller:
    return nobody  # type: ignore[return-value] - it is asked for nothing else


async def main(folder: Path, url: str) -> None:
    """Serve until whoever started us is gone."""
    worker = Worker(app.load_studio(folder), url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(f"{await worker.admit(int(line))}\n".encode())

    keeping = asyncio.create_task(worker.cover.keep())
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    os.write(1, f"{server.sockets[0].getsockname()[1]}\n".encode())
    await asyncio.to_thread(sys.stdin.read)
    keeping.cancel()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))
