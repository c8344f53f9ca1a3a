"""Serve: the one control flow of a call."""

from __future__ import annotations

from steelyard.dispatch import cache, costs, limiting, records, refusals, shadows, stopping
from steelyard.dispatch.allowances import UNLIMITED, Held
from steelyard.dispatch.attempts import HTTP_OK
from steelyard.dispatch.cache import Kept, Slot
from steelyard.dispatch.calls import Answer, Arrival, Ask, Caller, CallerGoneError
from steelyard.dispatch.course import told
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.limiting import Turned
from steelyard.dispatch.observing import Ended, Refused
from steelyard.dispatch.paying import HEADER as CLAMP_HEADER
from steelyard.dispatch.paying import WISHES, Wanting
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.router import Plan
from steelyard.dispatch.snapshot import Choice, Snapshot, offer_for
from steelyard.dispatch.stages import Call, End
from steelyard.dispatch.trying import Made, Trying
from steelyard.governance import keys
from steelyard.governance.keys import Key
from steelyard.metering.journal import JournalError, JournalFullError
from steelyard.rating import scalar
from steelyard.values.usage import UsageRecord


async def serve(desk: Desk, caller: Caller) -> Answer | Refusal | None:
    """Serve one call: a whole answer, a refusal, or None for a stream that was sent.

    Refuses, in this order: the key, a place, the body, the model, its limits, its cover, room in
    the journal, the upstream. Raises: CallerGoneError.
    """
    arrival = caller.arrival
    key = authenticate(desk.snapshot, arrival)
    if not isinstance(key, Key):
        return _refused(desk, caller, key, None)
    if not desk.takes() and not await desk.admit(key, caller):
        return _refused(desk, caller, refusals.overloaded(), key)
    try:
        ask = await caller.ask()
        if not isinstance(ask, Ask):
            return _refused(desk, caller, ask, key)
        call = Call(arrival=arrival, key=key, ask=ask, edition=desk.snapshot.edition)
        plan = _plan(desk, call)
        if not isinstance(plan, Plan):
            return _refused(desk, caller, plan, key)
        held = _take(desk, caller, call) or await _wait(desk, caller, call)
        if not isinstance(held, Held):
            return _refused(desk, caller, held, key)
        try:
            if desk.paying is not None:
                drawn = desk.paying.draw(desk.snapshot, call, plan)
                if isinstance(drawn, Wanting):
                    paid = await desk.paying.wait(drawn, caller, desk.counters)
                    if isinstance(paid, Refusal):
                        return _refused(desk, caller, paid, key)
                    drawn = paid
                call = drawn
            return await _answer(desk, caller, call, plan, held)
        finally:
            if call.tab is not None:
                call.tab.release()
            if not held.over:
                desk.allowances.release(held, desk.clock.monotonic_us())
    finally:
        desk.leave()


def _plan(desk: Desk, call: Call) -> Plan | Refusal:
    """What a call may use, its caller's wishes understood."""
    if call.arrival.cache not in cache.WISHES:
        return refusals.invalid(cache.HEADER, '"no-cache" or "no-store"')
    if call.arrival.clamp not in WISHES:
        return refusals.invalid(CLAMP_HEADER, '"never"')
    plan = desk.router.plan(desk.snapshot, call)
    if desk.booked is None or isinstance(plan, Refusal) or not plan.open_to:
        return plan
    return stopping.refusal(desk.booked, call, plan.open_to[0].offer) or plan


def _take(desk: Desk, caller: Caller, call: Call) -> Held | None:
    """What a call takes of its limits until it is weighed; None, if it would have to wait."""
    if not desk.snapshot.funds.limits:
        return UNLIMITED
    allowances, at_us = desk.allowances, call.arrival.at_us
    way = allowances.way(desk.snapshot, call.key, call.ask.model, at_us)
    if not way.slices:
        return UNLIMITED
    now_us = desk.clock.monotonic_us()
    held = allowances.take(way, limiting.need(call.ask), now_us)
    if held is not None:
        caller.tell(allowances.standing(way, at_us, now_us))
    return held


async def _wait(desk: Desk, caller: Caller, call: Call) -> Held | Refusal:
    """The same, once others have given back what they can. Raises: CallerGoneError."""
    allowances, at_us = desk.allowances, call.arrival.at_us
    way = allowances.way(desk.snapshot, call.key, call.ask.model, at_us)
    now_us, need = desk.clock.monotonic_us(), limiting.need(call.ask)
    found = await allowances.wait(way, need, at_us, now_us, caller.gone)
    if isinstance(found, Turned):
        caller.tell(found.standing)
        return limiting.refusal(found, call.ask.model)
    caller.tell(allowances.standing(way, at_us, desk.clock.monotonic_us()))
    return found


async def _answer(
    desk: Desk, caller: Caller, call: Call, plan: Plan, held: Held
) -> Answer | Refusal | None:
    """Answer a call that was admitted, from the cache or anew. Raises: CallerGoneError."""
    slot = desk.cache.slot(call.key, call.ask, call.arrival.cache) if desk.cache.shelves else None
    found = None if slot is None else _find(desk, call, plan, slot)
    if found is not None:
        return await _give_again(desk, caller, call, held, *found)
    ways = desk.router.ways(desk.snapshot, call, plan, desk.clock.monotonic_us())
    if isinstance(ways, Refusal):
        return _refused(desk, caller, ways, call.key)
    if plan.route.shadow is not None:
        shadows.cast(desk, call, plan.route.shadow)
    copies = slot is not None and call.ask.streamed
    made = await Trying(desk, caller, call, plan.route, ways, copies=copies).make()
    if not isinstance(made, Made):
        return _refused(desk, caller, made, call.key)
    return await _conclude(desk, caller, made, held, slot)


def _find(desk: Desk, call: Call, plan: Plan, slot: Slot) -> tuple[Kept, Choice] | None:
    """The answer kept for a call, if it came from a deployment that the call may use now."""
    kept = None if call.arrival.cache else slot.find(desk.clock.monotonic_us())
    if kept is None:
        return None
    choices = (c for c in plan.open_to if c.deployment.id == kept.original.deployment)
    choice = next(choices, None)
    return None if choice is None else (kept, choice)


async def _give_again(
    desk: Desk, caller: Caller, call: Call, held: Held, kept: Kept, choice: Choice
) -> Answer | Refusal | None:
    """Answer a call as an equal one was answered, and record it. Raises: CallerGoneError."""
    arrival, ask = call.arrival, call.ask
    body = cache.replayed(kept, ask)
    if ask.include_cost:
        body = costs.with_place(body)
    record = records.hit(call, kept.original, len(body), _taken_us(desk, arrival))
    if not held.over:
        desk.allowances.settle(held, limiting.used(record), desk.clock.monotonic_us())
    offer = offer_for(choice, record)
    price_pico = scalar.price_pico(record, offer)
    if call.tab is not None:
        call.tab.settle(record, offer, price_pico)
    try:
        desk.journal.record(record)
        await desk.journal.settled()
    except JournalFullError:
        return _refused(desk, caller, refusals.journal_full(), call.key)
    except JournalError:
        desk.failed.set()
        return _refused(desk, caller, refusals.journal_failed(), call.key)
    if desk.observer is not None:
        desk.observer.ended(Ended(arrival, ask.kind, record))
    if not ask.streamed:
        caller.note(costs.headers(price_pico, offer.currency))
        return Answer(body, cache.HIT)
    caller.begin(cache.HIT)
    await caller.send(costs.filled(body, record, offer_for(choice, record)))
    return None


async def _conclude(
    desk: Desk, caller: Caller, made: Made, held: Held, slot: Slot | None
) -> Answer | Refusal | None:
    """Record a call that was made, and give what its caller still gets. Raises: CallerGoneError."""
    attempt, end, copy = made.attempt, made.end, made.copy
    arrival, ask, completed = attempt.arrival, attempt.ask, end.outcome == "completed"
    refusal, taken_us = end.refusal, _taken_us(desk, arrival)
    record = records.record(attempt, end, _status(caller, end), taken_us, made.tries)
    if not held.over:
        desk.allowances.settle(held, limiting.used(record), desk.clock.monotonic_us())
    price_pico, offer = 0, offer_for(made.choice, record)
    if record.meters and (attempt.tab is not None or not ask.streamed):
        price_pico = scalar.price_pico(record, offer)
    if attempt.tab is not None:
        attempt.tab.settle(record, offer, price_pico)
    try:
        desk.journal.record(record)
        await desk.journal.settled()
    except JournalError:
        desk.failed.set()
        refusal = refusals.journal_failed()
    else:
        if slot is not None:
            body = end.body if copy is None else copy.whole()
            slot.keep(body, record, desk.clock.monotonic_us())
    if desk.observer is not None:
        desk.observer.ended(Ended(arrival, ask.kind, record))
    if end.begun or (ask.streamed and refusal is None and completed):
        await _finish(caller, made, record, refusal)
        return None
    if refusal is None and completed:
        caller.note(costs.headers(price_pico, offer.currency))
    if end.outcome == "cancelled":
        raise CallerGoneError
    if not completed:
        own_us = _taken_us(desk, arrival) - made.waited_us
        caller.note(told(attempt, record.attempts, own_us))
    return refusal or Answer(end.body)


def authenticate(snapshot: Snapshot, arrival: Arrival) -> Key | Refusal:
    """Whose call it is. Refuses: invalid_api_key."""
    found = keys.recognise(snapshot.keys, arrival.secret, arrival.at_us)
    return found if isinstance(found, Key) else refusals.key_refused(found)


def _refused(desk: Desk, caller: Caller, refusal: Refusal, key: Key | None) -> Refusal:
    """Let whoever watches know, and give the refusal back."""
    if desk.observer is not None:
        status, taken_us = caller.status_of(refusal), _taken_us(desk, caller.arrival)
        customer = None if key is None else key.customer
        desk.observer.refused(Refused(caller.arrival, refusal, status, taken_us, customer))
    return refusal


async def _finish(caller: Caller, made: Made, record: UsageRecord, refusal: Refusal | None) -> None:
    """Send what was held back of a stream, or why there is no more of it."""
    end = made.end
    if not end.begun:
        caller.begin()
    if refusal is not None:
        await caller.fail(refusal)
    elif end.body:
        await caller.send(costs.filled(end.body, record, offer_for(made.choice, record)))


def _status(caller: Caller, end: End) -> int | None:
    """The status that the caller sees; None when it is gone before there is one."""
    if end.begun or end.outcome == "completed":
        return HTTP_OK
    return None if end.refusal is None else caller.status_of(end.refusal)


def _taken_us(desk: Desk, arrival: Arrival) -> int:
    return desk.clock.monotonic_us() - arrival.started_us
