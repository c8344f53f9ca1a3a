"""Serve: the one control flow of a call."""

from __future__ import annotations

from steelyard.dispatch import cache, limiting, records, refusals
from steelyard.dispatch.allowances import Held, Turned
from steelyard.dispatch.attempts import HTTP_OK, Flight
from steelyard.dispatch.cache import Copy, Kept, Slot
from steelyard.dispatch.calls import Answer, Arrival, Caller, CallerGoneError
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.observing import Ended, Refused
from steelyard.dispatch.records import Attempt, End
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.snapshot import Snapshot, choose, usable
from steelyard.governance import keys
from steelyard.governance.keys import Key
from steelyard.metering.journal import JournalError, JournalFullError
from steelyard.values.usage import UsageRecord


async def serve(desk: Desk, caller: Caller) -> Answer | Refusal | None:
    """Serve one call: a whole answer, a refusal, or None for a stream that was sent.

    Refuses, in this order: the key, a place, the body, the model, its limits, room in the journal,
    the upstream. Raises: CallerGoneError.
    """
    key = authenticate(desk.snapshot, caller.arrival)
    if isinstance(key, Refusal):
        return _refused(desk, caller, key, None)
    if desk.draining or desk.in_flight >= desk.limits.concurrency_max:
        return _refused(desk, caller, refusals.overloaded(), key)
    desk.enter()
    try:
        attempt = await _admit(desk, caller, key)
        if isinstance(attempt, Refusal):
            return _refused(desk, caller, attempt, key)
        held = await _hold(desk, caller, attempt)
        if isinstance(held, Refusal):
            return _refused(desk, caller, held, key)
        try:
            return await _answer(desk, caller, attempt, held)
        finally:
            desk.allowances.release(held, desk.now())
    finally:
        desk.leave()


async def _hold(desk: Desk, caller: Caller, attempt: Attempt) -> Held | Refusal:
    """What a call takes of its limits until it is weighed."""
    ask, need = attempt.ask, limiting.need(attempt.ask)
    held = await desk.allowances.hold(desk.snapshot, attempt.key, ask.model, need, desk.now())
    caller.tell(held.standing)
    return limiting.refusal(held, ask.model) if isinstance(held, Turned) else held


async def _answer(
    desk: Desk, caller: Caller, attempt: Attempt, held: Held
) -> Answer | Refusal | None:
    """Answer a call that was admitted, from the cache or anew. Raises: CallerGoneError."""
    slot = desk.cache.slot(attempt.key, attempt.ask, caller.arrival.cache)
    kept = None if slot is None else _find(desk, attempt, slot)
    if kept is not None:
        return await _give_again(desk, caller, attempt, held, kept)
    refusal = _announce(desk, attempt)
    if refusal is not None:
        return _refused(desk, caller, refusal, attempt.key)
    return await _make(desk, caller, attempt, held, slot)


async def _admit(desk: Desk, caller: Caller, key: Key) -> Attempt | Refusal:
    """Whether a call is answered, and by which deployment. Raises: CallerGoneError."""
    arrival, snapshot = caller.arrival, desk.snapshot
    ask = await caller.ask()
    if isinstance(ask, Refusal):
        return ask
    if arrival.cache not in cache.WISHES:
        return refusals.invalid(cache.HEADER, '"no-cache" or "no-store"')
    deployment = choose(snapshot, key, ask.model, arrival.at_us)
    if deployment is None:
        return refusals.model_not_found(ask.model)
    if deployment.kind == "engine" and ask.choices > 1:
        # The engine tells the usage of one choice, and the others would not be weighed.
        return refusals.invalid("n", "1 for this model")
    return Attempt(
        arrival=arrival, key=key, ask=ask, deployment=deployment, edition=snapshot.edition
    )


def _announce(desk: Desk, attempt: Attempt) -> Refusal | None:
    """Write that a call begins, or why it can't."""
    try:
        desk.journal.announce(records.announcement(attempt))
    except JournalFullError:
        return refusals.journal_full()
    except JournalError:
        desk.failed.set()
        return refusals.journal_failed()
    return None


def _find(desk: Desk, attempt: Attempt, slot: Slot) -> Kept | None:
    """The answer kept for a call, if it came from a deployment that the call may use now."""
    arrival = attempt.arrival
    kept = None if arrival.cache else slot.find(desk.clock.monotonic_us())
    if kept is None:
        return None
    open_to = usable(desk.snapshot, attempt.key, attempt.ask.model, arrival.at_us)
    return kept if any(each.id == kept.original.deployment for each in open_to) else None


async def _give_again(
    desk: Desk, caller: Caller, attempt: Attempt, held: Held, kept: Kept
) -> Answer | Refusal | None:
    """Answer a call as an equal one was answered, and record it. Raises: CallerGoneError."""
    arrival, ask = attempt.arrival, attempt.ask
    body = cache.replayed(kept, ask)
    record = records.hit(attempt, kept.original, len(body), _taken_us(desk, arrival))
    desk.allowances.settle(held, limiting.used(record), desk.now())
    try:
        desk.journal.record(record)
        await desk.journal.settled()
    except JournalFullError:
        return _refused(desk, caller, refusals.journal_full(), attempt.key)
    except JournalError:
        desk.failed.set()
        return _refused(desk, caller, refusals.journal_failed(), attempt.key)
    if desk.observer is not None:
        desk.observer.ended(Ended(arrival, ask.kind, record))
    if not ask.streamed:
        return Answer(body, cache.HIT)
    caller.begin(cache.HIT)
    await caller.send(body)
    return None


async def _make(
    desk: Desk, caller: Caller, attempt: Attempt, held: Held, slot: Slot | None
) -> Answer | Refusal | None:
    """Make a call that was announced, and record it. Raises: CallerGoneError."""
    arrival, ask = attempt.arrival, attempt.ask
    copy = None if slot is None or not ask.streamed else Copy()
    end = await Flight(desk, caller, attempt, copy).fly()
    status = _status(caller, end)
    refusal = end.refusal
    record = records.record(attempt, end, status, _taken_us(desk, arrival))
    desk.allowances.settle(held, limiting.used(record), desk.now())
    if not await _recorded(desk, record):
        refusal = refusals.journal_failed()
    elif slot is not None:
        body = end.body if copy is None else copy.whole()
        slot.keep(body, record, desk.clock.monotonic_us())
    if desk.observer is not None:
        desk.observer.ended(Ended(arrival, ask.kind, record))
    if end.begun or (ask.streamed and refusal is None and end.outcome == "completed"):
        await _finish(caller, end, refusal)
        return None
    if end.outcome == "cancelled":
        raise CallerGoneError
    return refusal or Answer(end.body)


def authenticate(snapshot: Snapshot, arrival: Arrival) -> Key | Refusal:
    """Whose call it is. Refuses: invalid_api_key."""
    found = keys.recognise(snapshot.keys, arrival.secret, arrival.at_us)
    return refusals.key_refused(found) if isinstance(found, keys.Refusal) else found


def _refused(desk: Desk, caller: Caller, refusal: Refusal, key: Key | None) -> Refusal:
    """Let whoever watches know, and give the refusal back."""
    if desk.observer is not None:
        status, taken_us = caller.status_of(refusal), _taken_us(desk, caller.arrival)
        customer = None if key is None else key.customer
        desk.observer.refused(Refused(caller.arrival, refusal, status, taken_us, customer))
    return refusal


async def _finish(caller: Caller, end: End, refusal: Refusal | None) -> None:
    """Send what was held back of a stream, or why there is no more of it."""
    if not end.begun:
        caller.begin()
    if refusal is not None:
        await caller.fail(refusal)
    elif end.body:
        await caller.send(end.body)


def _status(caller: Caller, end: End) -> int | None:
    """The status that the caller sees; None when it is gone before there is one."""
    if end.begun or end.outcome == "completed":
        return HTTP_OK
    return None if end.refusal is None else caller.status_of(end.refusal)


def _taken_us(desk: Desk, arrival: Arrival) -> int:
    return desk.clock.monotonic_us() - arrival.started_us


async def _recorded(desk: Desk, record: UsageRecord) -> bool:
    """Whether a record is where it was promised to be."""
    try:
        desk.journal.record(record)
        await desk.journal.settled()
    except JournalError:
        desk.failed.set()
        return False
    return True
