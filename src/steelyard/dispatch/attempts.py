"""Attempts: one call at one upstream, from its request to how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from steelyard.dispatch import costs, cutting, endings, refusals, tracing
from steelyard.dispatch.cache import Copy
from steelyard.dispatch.calls import Caller, CallerGoneError
from steelyard.dispatch.course import Course, told
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.observing import Landed
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.stages import Attempt, End
from steelyard.dispatch.tabs import Margin
from steelyard.metering.answers import NOTHING, Reading, read_body
from steelyard.metering.streams import StreamWeigher
from steelyard.metering.weigh import weigh
from steelyard.upstream import openai
from steelyard.upstream.connection import Answer
from steelyard.upstream.transport import Kind, Reply, Request, UpstreamError, read_whole
from steelyard.values.usage import Outcome

HTTP_OK: Final = 200

Cut = Literal["cancelled", "interrupted", "lost", "late"]
"""Why an attempt is cut off: by its caller, the worker's end, another attempt, its deadline."""


class Race:
    """Attempts of one call at once: the first that has something for the caller wins."""

    def __init__(self) -> None:
        self.flights: list[Flight] = []
        self.winner: Flight | None = None

    def claim(self, flight: Flight) -> bool:
        """Whether this one answers the caller; if so, the others are cut off."""
        if self.winner is None:
            self.winner = flight
            for other in self.flights:
                if other is not flight:
                    other.lose()
        return self.winner is flight


class Flight:
    """An attempt under way, and what of it has reached the caller."""

    # What most attempts never come to have.
    _weigher: StreamWeigher | None = None
    _margin: Margin | None = None
    _task: asyncio.Task[object] | None = None
    """Whose attempt it is, as long as it may be cut off."""
    _cut_as: Cut | None = None
    _stop_listening: Callable[[], object] | None = None
    _told_ms: int | None = None
    _first_token_us: int | None = None
    _gone = False
    _begun = False
    _unread = False
    _held = b""
    _sent_bytes = 0

    def __init__(
        self,
        desk: Desk,
        caller: Caller,
        attempt: Attempt,
        course: Course,
        copy: Copy | None = None,
        race: Race | None = None,
    ) -> None:
        self._desk = desk
        self._caller = caller
        self._attempt = attempt
        self.copy = copy
        self._race = race
        self._course = course
        self._waited_before_us = course.waited_us
        self._waited_us = 0
        self.opened_us = desk.clock.monotonic_us()

    async def fly(self) -> End:
        """Make the attempt, and tell how it ended; everything but a bug of ours is an end."""
        desk, attempt, end = self._desk, self._attempt, None
        loop = asyncio.get_running_loop()
        self._task = task = asyncio.current_task(loop)
        assert task is not None
        asked_to_end = task.cancelling()
        if desk.observer is not None:
            desk.observer.began(attempt)
        desk.watch.begin(self, loop, self._left_s(self.opened_us))
        try:
            end = await self._ask_upstream()
        except UpstreamError as exc:
            refusal = refusals.upstream_failed(exc.kind, exc.retry_after_s)
            end = self._fail(refusal, paid=exc.kind in endings.PAID)
        except CallerGoneError:
            end = self._cut_off("cancelled")
        except asyncio.CancelledError:
            if self._cut_as is None or task.uncancel() > asked_to_end:
                raise
            end = self._end_as(self._cut_as)
        finally:
            self._task = None
            desk.watch.end(self)
            if desk.observer is not None:
                desk.observer.landed(self._landed(end))
        assert end is not None
        return end

    def _landed(self, end: End | None) -> Landed:
        attempt, opened_us = self._attempt, self.opened_us
        if end is not None:
            closed_us = opened_us + end.taken_us
            return Landed(attempt, end.outcome, end.error, opened_us, closed_us)
        now_us = self._desk.clock.monotonic_us()
        return Landed(attempt, "failed", Code.INTERNAL_ERROR.value, opened_us, now_us)

    def _end_as(self, cut: Cut) -> End:
        if cut != "late":
            return self._cut_off(cut)
        if self._unread:
            return self._end("cancelled", self._read(), refusals.answer_unread())
        return self._fail(refusals.upstream_failed(Kind.TIMEOUT), paid=True)

    def lose(self) -> None:
        """Another attempt answers the caller."""
        self._cut("lost")

    def interrupt(self) -> None:
        """The worker stops, and can't wait any longer."""
        self._cut("interrupted")

    def expire(self) -> None:
        """Its time is over."""
        self._cut("late")

    def watch(self) -> None:
        """See to it that the attempt ends when the caller hangs up."""
        self._stop_listening = self._caller.when_gone(self._hang_up)

    def unwatch(self) -> None:
        """The attempt is over."""
        if self._stop_listening is not None:
            self._stop_listening()

    def _left_s(self, now_us: int) -> float:
        return self._desk.limits.total_s - (now_us - self._attempt.arrival.started_us) / 1e6

    async def _ask_upstream(self) -> End:
        ask, deployment = self._attempt.ask, self._attempt.deployment
        model = deployment.upstream_model or deployment.model
        body = openai.encode(ask.fields, model, streamed=ask.streamed)
        transport = self._desk.transports[deployment.id]
        arrival, clock = self._attempt.arrival, self._desk.clock
        headers: tuple[tuple[str, str], ...] = ()
        if arrival.trace is not None:
            headers = tracing.departing(arrival.trace, arrival.call_id, self._attempt.number)
        asked_us = clock.monotonic_us()
        reply = await transport.open(Request(openai.PATHS[ask.kind], body, headers))
        self._waited_us = clock.monotonic_us() - asked_us
        try:
            if reply.status != HTTP_OK:
                return self._fail(await endings.refused(reply), paid=False)
            if ask.streamed:
                return await self._relay(reply)
            whole = reply.whole() if isinstance(reply, Answer) else None
            if whole is None:
                whole = await read_whole(reply)
                self._waited_us = clock.monotonic_us() - asked_us
            return self._answer(whole)
        finally:
            reply.close()

    def _answer(self, body: bytes) -> End:
        """End with a whole answer."""
        if b'"timings"' in body:
            self._told_ms = openai.compute_ms(body)
        reading = read_body(body)
        if reading.error is not None:
            return self._fail(refusals.upstream_refused(HTTP_OK, openai.fault(body)), paid=False)
        if not reading.finished:
            return self._fail(refusals.not_understood(), paid=False)
        if self._race is not None and not self._race.claim(self):
            return self._cut_off("lost")
        self._note_course()
        return self._end("completed", reading, body=body)

    def _note_course(self) -> None:
        """Say in the answer's head how the call was made."""
        taken_us = self._desk.clock.monotonic_us() - self._attempt.arrival.started_us
        own_us = taken_us - self._waited_before_us - self._waited_us
        self._caller.note(told(self._attempt, self._course.attempts, own_us))

    async def _relay(self, reply: Reply) -> End:
        """Hand a stream on as it comes, but for its last event, which waits for the record."""
        if not reply.header("content-type").startswith("text/event-stream"):
            return self._fail(refusals.not_understood(), paid=False)
        weigher = self._weigher = StreamWeigher(include_usage=self._attempt.ask.include_usage)
        tab = self._attempt.tab
        if tab is not None:
            self._margin = Margin(tab, weigher, self._caller.gone)
        margin = self._margin
        if self._gone:
            weigher.hang_up(lost_last=False)
        if isinstance(reply, Answer) and self.copy is None:
            reply.through = self._pass
        more = True
        while more:
            data = await (reply.read() if self._begun else self._first_read(reply))
            more = bool(data)
            self._look_at(data)
            out = self._held + (weigher.feed(data) if more else weigher.finish())
            self._held = b""
            if not out or self._gone:
                continue
            if not self._begun and (end := self._no_stream(out, weigher)) is not None:
                return end
            if margin is not None and not await margin.allows(self._sent_bytes + len(out)):
                return self._end_uncovered(weigher)
            if (last := endings.held_from(out, self._attempt.ask)) is not None:
                out, self._held = out[:last], out[last:]
            if out:
                await self._send(out)
            if b"[DONE]" in self._held and weigher.reading().done:
                await endings.see(reply)
                break
        return self._end_stream(weigher.reading())

    def _look_at(self, data: bytes) -> None:
        """Keep what else there is in a part of a stream."""
        if b'"timings"' in data:
            self._told_ms = openai.compute_ms(data)
        if self.copy is not None:
            self.copy.take(data)

    def _end_uncovered(self, weigher: StreamWeigher) -> End:
        """End a stream with what is delivered: there is no cover for more of it."""
        weigher.hang_up(lost_last=True)
        reading, ask = weigher.reading(), self._attempt.ask
        meters = weigh(reading, ask.fields).meters
        body = cutting.short(self._attempt, reading.upstream_id, meters) + endings.DONE
        return self._end("completed", reading, body=body, error=Code.COVER_USED_UP)

    def _pass(self, data: bytes) -> bool:
        """Hand on at once what nothing waits for; whether it was that, and the caller reads."""
        margin, caller, weigher = self._margin, self._caller, self._weigher
        if self._held or weigher is None or not caller.ready:
            return False
        if margin is not None and not margin.is_safe(self._sent_bytes + len(data)):
            return False
        out = weigher.take_alike(data)
        if out is None:
            if not self._begun or margin is not None or self._is_awaited(data):
                return False
            out = weigher.take_whole(data)
        if out is None:
            return False
        if out:
            caller.send_now(out)
            self._sent_bytes += len(out)
        return True

    def _is_awaited(self, data: bytes) -> bool:
        """Whether a part of a stream may wait for the record, or somebody for what is in it."""
        return self._attempt.ask.include_cost or b'"timings"' in data or endings.may_be_last(data)

    async def _first_read(self, reply: Reply) -> bytes:
        asked_us = self._desk.clock.monotonic_us()
        data = await reply.read()
        self._waited_us += self._desk.clock.monotonic_us() - asked_us
        return data

    def _no_stream(self, out: bytes, weigher: StreamWeigher) -> End | None:
        """Why the caller does not get what came first; None when it does."""
        if not out.startswith(endings.EVENT_BEGINNINGS):
            return self._fail(refusals.not_understood(), paid=False)
        error = None if weigher.chunks else weigher.reading().error
        if error is not None:
            told = openai.fault(error)
            return self._fail(refusals.upstream_refused(HTTP_OK, told), paid=False)
        if self._race is not None and not self._race.claim(self):
            return self._cut_off("lost")
        return None

    def _end_stream(self, reading: Reading) -> End:
        if reading.error is not None:
            # The caller has the upstream's own words; there is nothing to add to them.
            return self._end("failed", reading, body=self._held, error=Code.UPSTREAM_ERROR)
        if reading.finished and self._gone:
            return self._end("cancelled", reading)
        if reading.finished:
            body = self._held if reading.done else self._held + endings.DONE
            if self._attempt.ask.include_cost:
                body = costs.with_place(body)
            return self._end("completed", reading, body=body)
        if self._begun:
            return self._fail(refusals.upstream_failed(Kind.BROKEN), paid=True)
        return self._fail(refusals.not_understood(), paid=False)

    async def _send(self, out: bytes) -> None:
        """Hand on a part. Raises: CallerGoneError, when the policy is to cancel."""
        if not self._begun:
            self._begun = True
            self._note_course()
            arrived_us = self._attempt.arrival.started_us
            self._first_token_us = self._desk.clock.monotonic_us() - arrived_us
            if self._desk.observer is not None:
                self._desk.observer.first_byte(self._attempt, self._first_token_us)
            self._caller.begin()
        try:
            await self._caller.send(out)
        except CallerGoneError:
            self._gone = True
            self._stop_charging(lost_last=True)
            if self._desk.limits.on_hangup == "cancel":
                raise
        except asyncio.CancelledError:
            # The caller has not taken this part, and nobody waits any longer until it does.
            self._unread = True
            self._stop_charging(lost_last=True)
            raise
        else:
            self._sent_bytes += len(out)

    def _hang_up(self) -> None:
        """The caller is gone, as its watcher says."""
        if self._gone:
            return
        self._gone = True
        self._stop_charging(lost_last=False)
        if self._desk.limits.on_hangup == "cancel":
            self._cut("cancelled")

    def _cut(self, how: Cut) -> None:
        if self._cut_as is None and self._task is not None:
            self._cut_as = how
            self._task.cancel()

    def _cut_off(self, how: Literal["cancelled", "interrupted", "lost"]) -> End:
        refusal = refusals.interrupted() if how == "interrupted" else None
        outcome: Outcome = "cancelled" if how == "lost" else how
        return self._end(outcome, self._read(), refusal, lost=how == "lost")

    def _fail(self, refusal: Refusal, *, paid: bool) -> End:
        """End without the whole answer; ``paid``: the upstream is likely to charge for it."""
        outcome: Outcome = "cancelled" if self._gone else "failed"
        return self._end(outcome, self._read(), refusal, paid=paid)

    def _read(self) -> Reading:
        """What came of an answer that was no whole one."""
        return NOTHING if self._weigher is None else self._weigher.reading()

    def _stop_charging(self, *, lost_last: bool) -> None:
        if self._weigher is not None:
            self._weigher.hang_up(lost_last=lost_last)

    def _end(
        self,
        outcome: Outcome,
        reading: Reading,
        refusal: Refusal | None = None,
        *,
        body: bytes = b"",
        error: Code | None = None,
        paid: bool = True,
        lost: bool = False,
    ) -> End:
        """What is charged is what was delivered; nothing for what we broke ourselves."""
        weighed = weigh(reading, self._attempt.ask.fields)
        charged = outcome == "completed" or (
            reading.chunks > 0 and outcome != "interrupted" and not lost
        )
        made = weighed.produced or weighed.meters
        meters = weighed.meters if charged else {}
        tab = self._attempt.tab
        if tab is not None and (less := tab.charged(meters)) is not meters:
            meters, weighed = less, weighed._replace(produced=made)
        produced = weighed.produced if charged else made if paid else {}
        wall_us = self._desk.clock.monotonic_us() - self.opened_us
        return End(
            outcome=outcome,
            meters=meters,
            produced=produced,
            sources=weighed.sources,
            refusal=refusal,
            error=refusal.code if refusal is not None else error,
            begun=self._begun,
            body=body,
            sent_bytes=self._sent_bytes,
            first_token_us=self._first_token_us,
            taken_us=wall_us,
            waited_us=self._waited_us,
            compute_ms=-(-wall_us // 1000) if self._told_ms is None else self._told_ms,
            compute_source="measured" if self._told_ms is None else "upstream",
            upstream_id=reading.upstream_id,
            service_tier=reading.service_tier,
        )
