"""Allowances: what a call holds of its limits, from before it is made until it is weighed."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Protocol

from steelyard.catalogue.limits import Limit, Subject, subjects
from steelyard.dispatch import limiting
from steelyard.dispatch.limiting import NOTHING, Blocked, Counter, Need
from steelyard.dispatch.snapshot import Snapshot
from steelyard.dispatch.windows import Now, Standing
from steelyard.governance.keys import Key

COUNTERS_KEPT = 1024
"""Counters that are kept although nothing of them is in use."""

WAYS_KEPT = 10_000
"""Pairs of a key and a model whose limits are remembered."""


class Held:
    """What a call holds; it is given back once, settled or released."""

    __slots__ = ("counters", "need", "over", "standing", "taken")

    def __init__(
        self, counters: tuple[Counter, ...], need: Need, taken: Now, standing: Standing
    ) -> None:
        self.counters = counters
        self.need = need
        self.taken = taken
        self.standing = standing
        self.over = False


class Turned(Blocked, frozen=True, kw_only=True):
    """Why nothing is held, and what is left of the call's limits."""

    standing: Standing


class Allowances(Protocol):
    """Where limits are kept: in a worker, or shared by several.

    All limits of a call are held at once or none is. ``hold`` may wait for others; giving back
    does not.
    """

    async def hold(
        self, snapshot: Snapshot, key: Key, model: str, need: Need, now: Now
    ) -> Held | Turned:
        """Hold what a call needs, or say which limit has no room for it."""
        ...

    def settle(self, held: Held, used: Need, now: Now) -> None:
        """Give back what a call did not use, or take what it used more."""
        ...

    def release(self, held: Held, now: Now) -> None:
        """Give all of it back, of a call that was not made; nothing, after it was settled."""
        ...


class LocalAllowances:
    """The limits of one worker by itself, in its memory."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._ways: dict[tuple[str, str], tuple[Key, tuple[Counter, ...]]] = {}
        self._counters: dict[tuple[str, ...], Counter] = {}
        self._sweep_at = COUNTERS_KEPT

    async def hold(
        self, snapshot: Snapshot, key: Key, model: str, need: Need, now: Now
    ) -> Held | Turned:
        """Hold what a call needs, or say which limit has no room for it."""
        counters = self._limiting(snapshot, key, model, now)
        if not counters:
            return Held(counters, need, now, _UNLIMITED)
        need = limiting.fitted(need, counters)
        blocked = limiting.take(counters, need, now)
        standing = limiting.standing(counters, now)
        if blocked is None:
            return Held(counters, need, now, standing)
        return Turned(
            limit=blocked.limit,
            amount=blocked.amount,
            span=blocked.span,
            bound=blocked.bound,
            needed=blocked.needed,
            left=blocked.left,
            wait_us=blocked.wait_us,
            standing=standing,
        )

    def settle(self, held: Held, used: Need, now: Now) -> None:
        """Give back what a call did not use, or take what it used more."""
        assert not held.over
        held.over = True
        limiting.give_back(held.counters, held.need, used, held.taken, now)

    def release(self, held: Held, now: Now) -> None:
        """Give all of it back, of a call that was not made; nothing, after it was settled."""
        if not held.over:
            self.settle(held, NOTHING, now)

    @property
    def counted(self) -> int:
        """How many subjects of limits are remembered."""
        return len(self._counters)

    def _limiting(self, snapshot: Snapshot, key: Key, model: str, now: Now) -> tuple[Counter, ...]:
        """The counters of a call, in the limits' order."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._ways.clear()
        way = key.id, model
        known = self._ways.get(way)
        if known is not None and known[0] is key:
            return known[1]
        if len(self._ways) >= WAYS_KEPT or len(self._counters) >= self._sweep_at:
            self._sweep(now)
        found = tuple(
            self._counter(limit, key, model, zone_of(limit, snapshot, key))
            for limit in snapshot.limits
            if applies(limit, key, model)
        )
        self._ways[way] = key, found
        return found

    def _counter(self, limit: Limit, key: Key, model: str, zone: str) -> Counter:
        name = (limit.id, *(SUBJECTS[each](key, model) for each in subjects(limit)))
        counter = self._counters.get(name)
        if counter is None or counter.limit != limit:
            counter = self._counters[name] = Counter(limit, zone)
        return counter

    def _sweep(self, now: Now) -> None:
        """Forget what is not in use."""
        self._ways.clear()
        self._counters = {
            name: counter for name, counter in self._counters.items() if not counter.idle(now)
        }
        self._sweep_at = max(COUNTERS_KEPT, 2 * len(self._counters))


def applies(limit: Limit, key: Key, model: str) -> bool:
    """Whether a call counts for a limit; one of workspaces counts for calls that have one."""
    return (
        _any(limit.models, model)
        and _any(limit.customers, key.customer)
        and _any(limit.keys, key.id)
        and _any(limit.workspaces, key.workspace)
        and (bool(key.workspace) or "workspace" not in subjects(limit))
    )


def zone_of(limit: Limit, snapshot: Snapshot, key: Key) -> str:
    """Where the days of a limit begin that names no zone: at its customer's, else the studio's."""
    if subjects(limit) == ("model",):
        return snapshot.zone
    return snapshot.zones.get(key.customer, snapshot.zone)


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns)


SUBJECTS: dict[Subject, Callable[[Key, str], str]] = {
    "key": lambda key, _: key.id,
    "workspace": lambda key, _: f"{key.customer}/{key.workspace}",
    "customer": lambda key, _: key.customer,
    "model": lambda _, model: model,
}
"""What is counted apart."""

_UNLIMITED = Standing()
UNLIMITED = Held((), NOTHING, Now(0, 0), _UNLIMITED)
"""What a call holds where there are no limits."""
