"""Limiting: what a call needs of its limits, the purses that those are, and what is left of them.

A limit has a purse for each of its bounds and each of its subjects, so that all workers keep it
together, by the same leases as money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from steelyard.catalogue.limits import Limit, Subject, subjects
from steelyard.dispatch import refusals
from steelyard.dispatch.calls import Ask
from steelyard.dispatch.leasing import RATE
from steelyard.dispatch.purses import Funds, Purse, Returns
from steelyard.dispatch.records import BYTES_PER_TOKEN
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.standing import Standing
from steelyard.dispatch.windows import SECOND_US
from steelyard.governance.keys import Key
from steelyard.values import periods
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.usage import UsageRecord

OUTPUT_TOKENS_ASSUMED = 1024
"""How long an answer is taken to be at most whose length its caller does not limit."""

Amount = Literal["requests", "input_tokens", "output_tokens", "tokens"]

AMOUNTS: tuple[Amount, ...] = ("requests", "input_tokens", "output_tokens", "tokens")
REQUESTS, INPUT, OUTPUT, TOKENS = range(4)

SPANS: dict[Returns, str] = {
    "never": "per day",
    "ended": "at once",
    "minute": "per minute",
    "burst": "in one burst",
}

Units = list[int]
"""So many of each of ``AMOUNTS``; ``tokens`` are input and output together."""

Need = tuple[int, int, bool]
"""What a call takes of its limits: input, output; whether its caller did not limit the answer."""

_PROMPT = frozenset(PROMPT_METERS)
_OUTPUT = frozenset(("output_tokens", "reasoning_tokens"))


class Turned(NamedTuple):
    """The bound that a call does not fit in, and for how long: ``wait_us``; None: for ever.

    ``used_up``: a day is, and what others hold of it would not be enough. ``away``: the store of
    shared limits can't be asked for more. ``standing`` is what is left.
    """

    purse: Purse
    needed: int
    left: int
    wait_us: int | None
    used_up: bool
    away: bool
    standing: Standing


def need(ask: Ask) -> Need:
    """What a call is held for: its prompt by its length, its answer by the caller's limit."""
    prompt = ask.ingress_bytes // BYTES_PER_TOKEN + 1
    if ask.kind != "chat":
        return prompt, 0, False
    limit = ask.output_tokens_max
    if limit is None or limit <= 0:
        return prompt, OUTPUT_TOKENS_ASSUMED * ask.choices, True
    return prompt, limit * ask.choices, False


def used(record: UsageRecord) -> Units:
    """What a call used, as it was weighed; a request counts also when it failed."""
    prompt = answer = 0
    for meter, units in record.meters.items():
        if meter in _PROMPT:
            prompt += units
        elif meter in _OUTPUT:
            answer += units
    return [1, prompt, answer, prompt + answer]


def purses(known: Funds, key: Key, model: str, at_us: int) -> tuple[Purse, ...]:
    """The bounds that hold for a call, in the order of their limits."""
    found: list[Purse] = []
    for limit in known.limits:
        if applies(limit, key, model):
            whose = ",".join(f"{each}={SUBJECTS[each](key, model)}" for each in subjects(limit))
            found += _bounds(limit, whose, _zone(known, limit, key), at_us)
    return tuple(found)


def _bounds(limit: Limit, whose: str, zone: str, at_us: int) -> Iterator[Purse]:
    """A limit's bounds for one of its subjects: what it has at once, then by minutes and days."""
    if limit.concurrency is not None:
        name = f"limit/{limit.id}/{whose}/at once"
        yield Purse(name=name, lot=1, size=limit.concurrency, limit=limit, returns="ended")
    for which, amount in enumerate(AMOUNTS):
        bound: int | None = getattr(limit, f"{amount}_per_minute")
        if bound is not None:
            kinds: tuple[Returns, ...] = (
                ("minute",) if limit.burst_s is None else ("minute", "burst")
            )
            for kind in kinds:
                name = f"{RATE}{limit.id}/{whose}/{amount}/{kind}"
                yield Purse(name=name, lot=1, size=bound, limit=limit, which=which, returns=kind)
        bound = getattr(limit, f"{amount}_per_day")
        if bound is not None:
            start_us, end_us = periods.day_bounds_us(at_us, zone)
            since = periods.from_us(start_us, zone).isoformat(timespec="minutes")
            name = f"limit/{limit.id}/{whose}/{amount}/{since}"
            yield Purse(name=name, lot=1, size=bound, limit=limit, which=which, until_us=end_us)


def applies(limit: Limit, key: Key, model: str) -> bool:
    """Whether a call counts for a limit; one of workspaces counts for calls that have one."""
    return (
        _any(limit.models, model)
        and _any(limit.customers, key.customer)
        and _any(limit.keys, key.id)
        and _any(limit.workspaces, key.workspace)
        and (bool(key.workspace) or "workspace" not in subjects(limit))
    )


def refusal(turned: Turned, model: str) -> Refusal:
    """What a caller is told whose call does not fit: when it may try again, if ever.

    A day's end is far away, and has the code of a quota: clients don't wait for that.
    """
    if turned.away:
        return refusals.cover_unknown()
    purse, wait_us = turned.purse, turned.wait_us
    assert purse.limit is not None
    wait_s = None if wait_us is None else -(-wait_us // SECOND_US)
    hint = "This call alone is larger." if wait_s is None else f"Please try again in {wait_s} s."
    amount = AMOUNTS[purse.which].replace("_", " ")
    message = (
        f"Rate limit reached for {model!r} on {amount} {SPANS[purse.returns]} "
        f"(limit {purse.limit.id!r}): "
        f"limit {purse.size}, left {turned.left}, needed {turned.needed}. {hint}"
    )
    if turned.used_up:
        code = Code.INSUFFICIENT_QUOTA
        return Refusal(code=code, type=code, message=message, retry_after_s=wait_s)
    return Refusal(
        code=Code.RATE_LIMIT_EXCEEDED,
        type="requests" if purse.which == REQUESTS else "tokens",
        message=message,
        retry_after_s=wait_s,
    )


def _zone(known: Funds, limit: Limit, key: Key) -> str:
    """Where the days of a limit begin: by itself, at its customer's, else at the studio's."""
    own = known.zone if subjects(limit) == ("model",) else known.zones.get(key.customer, known.zone)
    return limit.zone or own


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns)


SUBJECTS: dict[Subject, Callable[[Key, str], str]] = {
    "key": lambda key, _: key.id,
    "workspace": lambda key, _: f"{key.customer}/{key.workspace}",
    "customer": lambda key, _: key.customer,
    "model": lambda _, model: model,
}
"""What is counted apart."""
