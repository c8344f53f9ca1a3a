"""Limiting: what a call needs, and whether all its limits have room for it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from steelyard.catalogue.limits import Limit
from steelyard.dispatch.calls import Ask
from steelyard.dispatch.records import BYTES_PER_TOKEN
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.windows import (
    SECOND_US,
    Day,
    Minute,
    Now,
    Room,
    Smoothing,
    Standing,
    Window,
)
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.usage import UsageRecord

CONCURRENCY_RETRY_US = 1_000_000
"""When a caller with as many calls as it may have at once may try again."""

OUTPUT_TOKENS_ASSUMED = 1024
"""How long an answer is taken to be at most whose length its caller does not limit."""

Amount = Literal["requests", "input_tokens", "output_tokens", "tokens"]
Span = Literal["minute", "burst", "day", "at once"]

SPANS: dict[Span, str] = {
    "minute": "per minute",
    "burst": "in one burst",
    "day": "per day",
    "at once": "at once",
}
AMOUNTS: tuple[Amount, ...] = ("requests", "input_tokens", "output_tokens", "tokens")

_PROMPT = frozenset(PROMPT_METERS)
_OUTPUT = frozenset(("output_tokens", "reasoning_tokens"))


class Need(NamedTuple):
    """What a call takes of its limits. ``open_ended``: its caller did not limit the answer."""

    requests: int
    input_tokens: int
    output_tokens: int
    open_ended: bool = False

    @property
    def units(self) -> tuple[int, int, int, int]:
        """So many of each of ``AMOUNTS``; ``tokens`` are input and output together."""
        _, prompt, answer, _ = self
        return self.requests, prompt, answer, prompt + answer


NOTHING = Need(0, 0, 0)


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """The limit that a call does not fit in, and for how long: ``wait_us``; None: for ever."""

    limit: Limit
    amount: Amount
    span: Span
    bound: int
    needed: int
    left: int
    wait_us: int | None


class Counter:
    """What one subject uses of one limit: a key, a customer, a customer's model."""

    def __init__(self, limit: Limit, zone: str) -> None:
        self.limit = limit
        self.running = 0
        self._windows = tuple(_windows(limit, zone))

    def blocked(self, need: Need, now: Now) -> Blocked | None:
        """Where a call does not fit for the longest; None when it fits."""
        limit = self.limit
        if limit.concurrency is not None and self.running >= limit.concurrency:
            return Blocked(
                limit=limit,
                amount="requests",
                span="at once",
                bound=limit.concurrency,
                needed=1,
                left=0,
                wait_us=CONCURRENCY_RETRY_US,
            )
        worst: Blocked | None = None
        units = need.units
        for which, span, window in self._windows:
            wait_us = window.wait_us(now, units[which])
            if wait_us == 0 or (worst is not None and not _longer(wait_us, worst.wait_us)):
                continue
            worst = Blocked(
                limit=limit,
                amount=AMOUNTS[which],
                span=span,
                bound=window.limit,
                needed=units[which],
                left=window.room(now).left,
                wait_us=wait_us,
            )
        return worst

    def take(self, need: Need, now: Now) -> None:
        """Take what a call needs."""
        self.running += 1
        if not self._windows:
            return
        units = need.units
        for which, _, window in self._windows:
            window.take(now, units[which])

    def correct(self, held: Need, used: Need, taken: Now, now: Now) -> None:
        """A call that took ``held`` has ended, and used so much."""
        assert self.running > 0
        self.running -= 1
        before, after = held.units, used.units
        for which, _, window in self._windows:
            if before[which] != after[which]:
                window.correct(taken, now, after[which] - before[which])

    def rooms(self, now: Now) -> Iterator[tuple[Amount, Room]]:
        """What is left of each minute and day."""
        for which, span, window in self._windows:
            if span != "burst":
                yield AMOUNTS[which], window.room(now)

    def answer_max(self, need: Need) -> int:
        """The longest answer for which a call that needs nothing else could be admitted."""
        longest = need.output_tokens
        for which, span, window in self._windows:
            if span == "burst":
                continue
            if AMOUNTS[which] == "output_tokens":
                longest = min(longest, window.limit)
            elif AMOUNTS[which] == "tokens":
                longest = min(longest, window.limit - need.input_tokens)
        return longest

    def idle(self, now: Now) -> bool:
        """Whether nothing of the limit is in use, so that the counter may be forgotten."""
        return self.running == 0 and all(
            window.room(now).reset_us == 0 for _, _, window in self._windows
        )


def need(ask: Ask) -> Need:
    """What a call is held for: its prompt by its length, its answer by the caller's limit."""
    prompt = ask.ingress_bytes // BYTES_PER_TOKEN + 1
    if ask.kind != "chat":
        return Need(1, prompt, 0)
    limit = ask.output_tokens_max
    if limit is None or limit <= 0:
        return Need(1, prompt, OUTPUT_TOKENS_ASSUMED * ask.choices, open_ended=True)
    return Need(1, prompt, limit * ask.choices)


def used(record: UsageRecord) -> Need:
    """What a call used, as it was weighed; a request counts also when it failed."""
    prompt = answer = 0
    for meter, units in record.meters.items():
        if meter in _PROMPT:
            prompt += units
        elif meter in _OUTPUT:
            answer += units
    return Need(1, prompt, answer)


def fitted(wanted: Need, counters: Sequence[Counter]) -> Need:
    """The need of a call that does not limit its answer, no larger than its limits as a whole.

    Else such a call would never be admitted where a minute's tokens are few.
    """
    if not wanted.open_ended:
        return wanted
    longest = min(counter.answer_max(wanted) for counter in counters)
    return wanted._replace(output_tokens=max(1, longest))


def take(counters: Sequence[Counter], need: Need, now: Now) -> Blocked | None:
    """Take a call's need of every limit, in their order, or of none: what blocks it longest."""
    worst: Blocked | None = None
    for counter in counters:
        blocked = counter.blocked(need, now)
        if blocked is not None and (worst is None or _longer(blocked.wait_us, worst.wait_us)):
            worst = blocked
    if worst is None:
        for counter in counters:
            counter.take(need, now)
    return worst


def refusal(blocked: Blocked, model: str) -> Refusal:
    """What a caller is told whose call does not fit: when it may try again, if ever.

    A day's end is far away, and has the code of a quota: clients don't wait for that.
    """
    requests = blocked.amount == "requests"
    amount = blocked.amount.replace("_", " ")
    span = SPANS[blocked.span]
    wait_s = None if blocked.wait_us is None else -(-blocked.wait_us // SECOND_US)
    hint = "This call alone is larger." if wait_s is None else f"Please try again in {wait_s} s."
    message = (
        f"Rate limit reached for {model!r} on {amount} {span} (limit {blocked.limit.id!r}): "
        f"limit {blocked.bound}, left {blocked.left}, needed {blocked.needed}. {hint}"
    )
    if blocked.span == "day" and wait_s is not None:
        code = Code.INSUFFICIENT_QUOTA
        return Refusal(code=code, type=code, message=message, retry_after_s=wait_s)
    return Refusal(
        code=Code.RATE_LIMIT_EXCEEDED,
        type="requests" if requests else "tokens",
        message=message,
        retry_after_s=wait_s,
    )


def give_back(counters: Sequence[Counter], held: Need, used: Need, taken: Now, now: Now) -> None:
    """End a call that took ``held`` and used so much."""
    for counter in counters:
        counter.correct(held, used, taken, now)


def standing(counters: Sequence[Counter], now: Now) -> Standing:
    """What is left, of the minute or day that has the least of it."""
    requests: Room | None = None
    tokens: Room | None = None
    for counter in counters:
        for amount, room in counter.rooms(now):
            if amount == "requests":
                if requests is None or room.left < requests.left:
                    requests = room
            elif tokens is None or room.left < tokens.left:
                tokens = room
    return Standing(requests, tokens)


def _longer(wait_us: int | None, than_us: int | None) -> bool:
    return than_us is not None and (wait_us is None or wait_us > than_us)


def _windows(limit: Limit, zone: str) -> Iterator[tuple[int, Span, Window]]:
    """A limit's bounds, each by its place in ``AMOUNTS``: the minute, its burst, then the day."""
    for which, amount in enumerate(AMOUNTS):
        per_minute: int | None = getattr(limit, f"{amount}_per_minute")
        if per_minute is not None:
            yield which, "minute", Minute(per_minute)
            if limit.burst_s is not None:
                yield which, "burst", Smoothing(per_minute, limit.burst_s)
        per_day: int | None = getattr(limit, f"{amount}_per_day")
        if per_day is not None:
            yield which, "day", Day(per_day, limit.zone or zone)
