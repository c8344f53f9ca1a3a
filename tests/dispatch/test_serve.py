"""One call from its key to its last byte, on a desk of fakes: what happens, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from steelyard.dispatch.calls import Answer, Arrival, Ask, CallerGoneError, Headers
from steelyard.dispatch.desk import Desk, Limits
from steelyard.dispatch.refusals import Code, Refusal, invalid
from steelyard.dispatch.serve import serve
from steelyard.dispatch.standing import Standing
from steelyard.metering.journal import JournalError, JournalFullError
from steelyard.upstream.transport import Kind, Reply, Request, UpstreamError
from steelyard.values.clock import FixedClock
from steelyard.values.usage import Announcement, UsageRecord
from tests.dispatch.studio import DEPLOYMENT, KEY, SECRET, snapshot

EVENTS = [
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"abcd"}}]}\n\n',
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"efgh"}}]}\n\n',
    b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4}}\n\n',
]
DONE = b"data: [DONE]\n\n"
WHOLE = b'{"id":"c1","choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":4}}'
BILLED = {"input_tokens": 5, "output_tokens": 4}


class World:
    """Everything around a call, writing down what happened: ``log``."""

    def __init__(self, *parts: bytes | UpstreamError, streamed: bool = True) -> None:
        self.told_gone = False
        self.log: list[str] = []
        self.records: list[UsageRecord] = []
        self.announcements: list[Announcement] = []
        self.got = b""
        self.noted: dict[str, str] = {}
        self.parts = list(parts)
        self.streamed = streamed
        self.secret: str | None = SECRET
        self.asked: Ask | Refusal | None = None
        self.journal_fails: dict[str, BaseException] = {}
        self.hang_up_at: int | None = None
        """The send that fails, counted from 0."""
        self.hung_up = asyncio.Event()
        self.go_on = asyncio.Event()
        self.pause_after: int | None = None
        """Reads after which the upstream waits for ``go_on``."""
        self.reads = 0
        self.clock = FixedClock()
        self.sends = 0

    def desk(self, **limits: Any) -> Desk:
        return Desk(
            snapshot(),
            {DEPLOYMENT: self},
            self,
            self.clock,
            lambda: 1,
            Limits(**limits),
        )

    # The transport and its reply.

    status = 200

    async def open(self, request: Request) -> Reply:
        self.log.append("open")
        self.request = request
        return self

    def header(self, name: str) -> str:
        return {"content-type": "text/event-stream"}.get(name, "") if self.streamed else ""

    async def read(self) -> bytes:
        if self.reads == self.pause_after:
            await self.go_on.wait()
        self.reads += 1
        part = self.parts.pop(0) if self.parts else b""
        if isinstance(part, UpstreamError):
            raise part
        if not self.parts:
            self.log.append("upstream ends")
        return part

    def close(self) -> None:
        self.log.append("close")

    async def aclose(self) -> None: ...

    # The journal.

    def announce(self, announcement: Announcement) -> None:
        self._write("announce")
        self.announcements.append(announcement)

    def record(self, record: UsageRecord) -> None:
        self._write("record")
        self.records.append(record)

    async def settled(self) -> None:
        await asyncio.sleep(0)
        self._write("settled")

    def _write(self, what: str) -> None:
        if what in self.journal_fails:
            raise self.journal_fails[what]
        self.log.append(what)

    # The caller.

    @property
    def arrival(self) -> Arrival:
        return Arrival(b"c" * 16, self.clock.wall_us(), self.clock.monotonic_us(), self.secret)

    async def ask(self) -> Ask | Refusal:
        self.log.append("ask")
        fields = {"messages": msgspec.Raw(b'[{"role":"user","content":"twelve bytes"}]')}
        return self.asked or Ask(
            kind="chat",
            model="m",
            fields=fields,
            ingress_bytes=60,
            streamed=self.streamed,
            include_usage=False,
        )

    def tell(self, standing: Standing) -> None:
        self.standing = standing

    def note(self, headers: Headers) -> None:
        self.noted |= dict(line.split(": ", 1) for line in headers.splitlines())

    def begin(self, headers: Headers = "") -> None:
        self.headers = headers
        self.log.append("begin")

    async def send(self, data: bytes) -> None:
        if self.sends == self.hang_up_at or self.hung_up.is_set():
            raise CallerGoneError
        self.sends += 1
        self.got += data
        self.log.append("[DONE]" if data == DONE else "send")

    ready = False

    def send_now(self, data: bytes) -> None:
        raise AssertionError(data)

    async def fail(self, refusal: Refusal) -> None:
        self.log.append(f"fail {refusal.code}")

    def status_of(self, refusal: Refusal) -> int:
        return 599 if refusal.status is None else refusal.status

    async def gone(self) -> None:
        await self.hung_up.wait()

    def when_gone(self, told: Callable[[], None]) -> Callable[[], object]:
        waiting = asyncio.ensure_future(self.gone())

        def tell(done: asyncio.Future[None]) -> None:
            if not done.cancelled():
                told()
                self.told_gone = True

        waiting.add_done_callback(tell)
        return waiting.cancel


async def test_a_stream_is_recorded_before_its_last_event():
    world = World(*EVENTS[:2], EVENTS[2] + EVENTS[3] + DONE)
    assert await serve(world.desk(), world) is None
    assert world.log == [
        "ask",
        "announce",
        "open",
        "begin",
        "send",
        "send",
        "upstream ends",
        "send",
        "upstream ends",
        "close",
        "record",
        "settled",
        "[DONE]",
    ]
    assert world.got == b"".join(EVENTS[:3]) + DONE
    (record,) = world.records
    assert record.meters == {
        **BILLED,
        "ingress_bytes": 60,
        "egress_bytes": len(world.got),
        "compute_ms": 0,
        "requests": 1,
    }
    assert (record.key_id, record.customer) == (KEY.id, KEY.customer)


async def test_an_answer_is_recorded_before_it_is_given():
    world = World(WHOLE, streamed=False)
    assert await serve(world.desk(), world) == Answer(WHOLE)
    assert world.log[-3:] == ["close", "record", "settled"]
    assert tokens(world.records[0]) == BILLED


async def test_done_in_the_middle_of_a_text_is_not_the_end():
    said = b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n'
    world = World(EVENTS[0], said, EVENTS[1], EVENTS[2], DONE)
    await serve(world.desk(), world)
    assert world.got == EVENTS[0] + said + EVENTS[1] + EVENTS[2] + DONE


def tokens(record: UsageRecord) -> dict[str, int]:
    return {name: units for name, units in record.meters.items() if name.endswith("_tokens")}


def wrong_key(world: World, desk: Desk) -> None:
    world.secret = "sk-wrong"


def no_key(world: World, desk: Desk) -> None:
    world.secret = None


def draining(world: World, desk: Desk) -> None:
    desk.draining = True


def crowded(world: World, desk: Desk) -> None:
    for _ in range(desk.limits.concurrency_max):
        desk.enter()


def bad_body(world: World, desk: Desk) -> None:
    world.asked = invalid("model", "str")


def unsold(world: World, desk: Desk) -> None:
    world.asked = Ask(kind="chat", model="unsold", fields={}, ingress_bytes=2)


def full(world: World, desk: Desk) -> None:
    world.journal_fails["announce"] = JournalFullError("full")


def broken(world: World, desk: Desk) -> None:
    world.journal_fails["announce"] = JournalError("broken")


Change = Callable[[World, Desk], None]
REFUSED: list[tuple[Change, Code, list[str]]] = [
    (no_key, Code.INVALID_API_KEY, []),
    (wrong_key, Code.INVALID_API_KEY, []),
    (draining, Code.OVERLOADED, []),
    (crowded, Code.OVERLOADED, []),
    (bad_body, Code.INVALID_PARAMETER, ["ask"]),
    (unsold, Code.MODEL_NOT_FOUND, ["ask"]),
    (full, Code.JOURNAL_FULL, ["ask"]),
    (broken, Code.JOURNAL_FAILED, ["ask"]),
]


@pytest.mark.parametrize(("change", "code", "log"), REFUSED)
async def test_refused_before_the_upstream_is_asked(change, code, log):
    world = World(WHOLE, streamed=False)
    desk = world.desk(concurrency_max=3)
    change(world, desk)
    before = desk.in_flight
    served = await serve(desk, world)
    assert isinstance(served, Refusal)
    assert served.code == code
    assert world.log == log
    assert desk.in_flight == before
    assert desk.failed.is_set() is (code == Code.JOURNAL_FAILED)


@pytest.mark.parametrize("first", range(len(REFUSED) - 1))
async def test_of_two_reasons_the_first_is_told(first):
    world = World(WHOLE, streamed=False)
    desk = world.desk()
    for change, _, _ in (REFUSED[first + 1], REFUSED[first]):
        change(world, desk)
    served = await serve(desk, world)
    assert isinstance(served, Refusal)
    assert served.code == REFUSED[first][1]


@pytest.mark.parametrize("step", ["record", "settled"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_what_can_not_be_recorded_is_not_answered(step, streamed):
    world = World(*([*EVENTS, DONE] if streamed else [WHOLE]), streamed=streamed)
    world.journal_fails[step] = JournalError("gone")
    desk = world.desk()
    served = await serve(desk, world)
    assert desk.failed.is_set()
    if streamed:
        assert served is None
        assert world.log[-1] == "fail journal_failed"
        assert "[DONE]" not in world.log
    else:
        assert isinstance(served, Refusal)
        assert served.code == Code.JOURNAL_FAILED


async def test_draining_waits_for_the_calls_in_flight():
    world = World(*EVENTS, DONE)
    desk = world.desk()
    world.pause_after = 0
    call = asyncio.create_task(serve(desk, world))
    await until(lambda: "open" in world.log)
    drained = asyncio.create_task(desk.drain(5))
    await asyncio.sleep(0.01)
    assert desk.draining
    assert not drained.done()
    world.go_on.set()
    assert await drained
    await call
    assert world.records[0].outcome == "completed"


@pytest.mark.parametrize("begun", [True, False])
async def test_a_call_cut_off_by_us_is_free(begun):
    world = World(*EVENTS, DONE)
    desk = world.desk()
    world.pause_after = 1 if begun else 0
    call = asyncio.create_task(serve(desk, world))
    await until(lambda: ("send" if begun else "open") in world.log)
    assert not await desk.drain(0)
    served = await call
    (record,) = world.records
    assert (record.outcome, record.error, record.meters) == ("interrupted", "interrupted", {})
    assert record.produced is not None
    assert record.produced["input_tokens"] > 0
    if begun:
        assert world.log[-1] == "fail interrupted"
    else:
        assert isinstance(served, Refusal)
        assert served.code == Code.INTERRUPTED


HANG_UPS = [
    # policy, how it is noticed, output tokens charged, output tokens made
    ("cancel", "when sending", 1, 2),
    ("cancel", "while waiting", 1, 1),
    ("drain", "when sending", 2, 4),
    ("drain", "while waiting", 2, 4),
]


@pytest.mark.parametrize(("policy", "noticed", "charged", "made"), HANG_UPS)
async def test_a_caller_that_hangs_up_pays_for_what_it_got(policy, noticed, charged, made):
    world = World(*EVENTS, DONE)
    if noticed == "when sending":
        world.hang_up_at = 1
    else:
        world.pause_after = 1
    call = asyncio.create_task(serve(world.desk(on_hangup=policy), world))
    if noticed == "while waiting":
        await until(lambda: "send" in world.log)
        world.hung_up.set()
        await until(lambda: world.told_gone)
        world.go_on.set()
    assert await call is None
    (record,) = world.records
    assert record.outcome == "cancelled"
    assert record.meters["requests"] == 1
    assert record.meters["output_tokens"] == charged
    assert record.meters["egress_bytes"] == len(EVENTS[0])
    produced = record.meters if record.produced is None else record.produced
    assert produced["output_tokens"] == made
    assert ("upstream ends" in world.log) is (policy == "drain")
    assert world.got == EVENTS[0]


@pytest.mark.parametrize("after", [UpstreamError(Kind.BROKEN, "reset"), "silence"])
async def test_what_an_upstream_does_after_its_last_event_is_nobodys_business(after):
    world = World(*EVENTS, DONE, *([] if after == "silence" else [after]))
    world.pause_after = 5 if after == "silence" else None
    async with asyncio.timeout(5):
        await serve(world.desk(), world)
    assert world.got.endswith(DONE)
    assert world.records[0].outcome == "completed"
    assert tokens(world.records[0]) == BILLED


async def test_an_error_of_the_upstream_is_recorded_before_it_is_handed_on():
    told = b'data: {"error":{"message":"no room","code":"no_room"}}\n\n'
    world = World(EVENTS[0], told)
    await serve(world.desk(), world)
    assert world.log[-3:] == ["record", "settled", "send"]
    assert world.got == EVENTS[0] + told
    (record,) = world.records
    assert (record.outcome, record.error) == ("failed", "upstream_error")
    assert record.meters["egress_bytes"] == len(world.got)


async def test_an_upstream_that_is_too_slow_as_a_whole():
    world = World(*EVENTS, DONE)
    world.pause_after = 2
    await serve(world.desk(total_s=0.05), world)
    assert world.log[-1] == "fail upstream_timeout"
    (record,) = world.records
    assert (record.outcome, record.error) == ("failed", "upstream_timeout")
    assert record.meters["output_tokens"] == 2


async def test_the_caller_sees_why_a_stream_broke():
    world = World(EVENTS[0], UpstreamError(Kind.BROKEN, "reset"))
    await serve(world.desk(), world)
    assert world.log[-3:] == ["record", "settled", "fail upstream_broken"]
    assert world.records[0].status == 200


async def test_the_record_says_which_status_the_caller_sees():
    world = World(UpstreamError(Kind.BROKEN, "reset"))
    assert isinstance(await serve(world.desk(), world), Refusal)
    assert world.records[0].status == 599


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for is any condition
            await asyncio.sleep(0.001)
