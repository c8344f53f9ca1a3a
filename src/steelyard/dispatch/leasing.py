"""Leasing: slices of shared limits, what a store of them does, and how much a worker is given.

A store keeps a pot for each purse and a lease for each worker that draws on it. Everything that a
worker says of itself is counted from its own beginning: saying it twice, or once more after an
answer was lost, changes nothing. What a worker holds is its own until it gives it back, or is dead
and its journal has been read: time alone never takes it away, so no clock is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

PORTIONS = 4
"""A worker that does not need it at once is given at most one such part of its share of the rest.
"""


RATE = "rate/"
"""How the names of purses begin whose units come back by time alone: a worker's death frees none.
"""


class StoreAwayError(Exception):
    """The store can't be asked now; what is leased is leased."""

    code = "allowances_away"


class StoreClosedError(Exception):
    """The store is empty, or was made for other purses: it has to be built up again first."""

    code = "allowances_closed"


class WriterReleasedError(Exception):
    """The worker was taken for dead, and what it held was given back."""

    code = "writer_released"


class Wish(NamedTuple):
    """What a worker has spent of a purse, and how much it would like to have had in all.

    ``floor`` is what is spent and held, ``least`` what its calls need, ``best`` what would spare it
    to ask again; less than it has gives back. ``short``: calls wait for it.
    Unit: lots, from the worker's beginning; µs.
    """

    purse: str
    size: int
    spent: int
    floor: int
    least: int
    best: int
    until_us: int
    short: bool = False


class Given(NamedTuple):
    """What a worker has, what nobody has, what all have spent; whether others wait. Unit: lots."""

    granted: int
    left: int
    spent: int
    sought: bool


class Pot(NamedTuple):
    """What all workers have of a purse, the dead ones too: of those what they spent. Unit: lots."""

    granted: int = 0
    spent: int = 0
    holders: int = 0
    seekers: int = 0


class Lease(NamedTuple):
    """What one worker has of a purse. Unit: lots."""

    granted: int = 0
    spent: int = 0
    short: bool = False


class Held(NamedTuple):
    """A purse as people see it. Unit: lots."""

    purse: str
    granted: int
    spent: int


class Notice(NamedTuple):
    """So much of a purse is used. Unit: parts per million; µs; the purse's own."""

    purse: str
    ppm: int
    at_us: int
    spent: int
    size: int


class AllowanceStore(Protocol):
    """Where slices are leased: each operation is whole or nothing, for all purses at once.

    All may raise StoreAwayError. ``stamp`` names what the purses are of. ``round_trips`` counts the
    messages that it has waited for an answer to.
    """

    round_trips: int

    def exchange(
        self, stamp: str, writer: str, turn: int, wishes: Sequence[Wish]
    ) -> Sequence[Given]:
        """Settle, give back and lease. ``turn`` only rises: what comes late is left undone.

        Raises: StoreClosedError, WriterReleasedError.
        """
        ...

    def join(self, writer: str, turn: int, held: Mapping[str, tuple[Lease, int]]) -> None:
        """Tell a store that is being built up what a worker has, and each purse's end.

        Nothing happens to one that is not.
        Raises: WriterReleasedError.
        """
        ...

    def state(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """Its stamp (empty: it is new, or was lost), the living writers, the released ones."""
        ...

    def clear(self, seen: str, stamp: str) -> None:
        """Forget everything, to build it up for a stamp; nothing, if its stamp is not ``seen``."""
        ...

    def open(self, stamp: str, counted: Collection[str] = ()) -> None:
        """Lease from now on, if it was being built up for this stamp.

        Nothing happens unless all who are to be ``counted`` have joined it, or are released in it.
        """
        ...

    def release(self, writer: str, spent: Mapping[str, tuple[int, int]]) -> None:
        """A writer is dead and this is all that it spent, with each purse's end. Once is enough.

        What it had of rates stays taken, until ``lapse``.
        """
        ...

    def lapse(self, writers: Collection[str]) -> None:
        """Released writers have been dead for so long that all is back that comes back by time."""
        ...

    def forget(self, before_us: int) -> None:
        """Forget purses whose window ended before."""
        ...

    def held(self) -> Sequence[Held]:
        """Every purse, by name."""
        ...

    def notice(self, notice: Notice) -> bool:
        """Keep a notice; whether it is the first of its purse and part."""
        ...

    def notices(self) -> Sequence[Notice]:
        """All that were kept, oldest first."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def give(pot: Pot, lease: Lease | None, wish: Wish) -> tuple[Pot, Lease, Given]:
    """What a worker is given, and how the pot stands then.

    What its calls need it gets if it is there; beyond that a part of what is left, smaller the
    less there is and the more workers share it: the end of a purse is given out call by call.
    Where that is not enough and others wait too, it keeps what it holds alone: else each would
    wait for what the others have too little of. Nothing is given beyond the purse; what was spent
    stays granted, even beyond it.
    """
    before = lease or Lease()
    spent = max(before.spent, wish.spent)
    granted = max(before.granted, spent)
    left = wish.size - pot.granted - (granted - before.granted)
    holders = pot.holders + (lease is None)
    sought = pot.seekers > before.short
    needed = max(0, wish.least - granted)
    if wish.best <= granted:
        after = max(wish.best, spent)
    elif needed <= max(0, left):
        part = max(0, left) // (PORTIONS * holders)
        after = granted + min(wish.best - granted, max(needed, part))
    else:
        after = min(granted, max(wish.floor, spent)) if sought else granted
    short = wish.short and after < wish.least
    moved = Pot(
        granted=pot.granted + after - before.granted,
        spent=pot.spent + spent - before.spent,
        holders=holders,
        seekers=pot.seekers + short - before.short,
    )
    given = Given(after, wish.size - moved.granted, moved.spent, sought)
    return moved, Lease(after, spent, short), given


def building(stamp: str) -> str:
    """The stamp of a store that is being built up."""
    return f"{BUILDING}{stamp}"


def is_building(stamp: str) -> bool:
    """Whether a store is being built up."""
    return stamp.startswith(BUILDING)


BUILDING = "building "


class MemoryStore:
    """A store in memory: for one process alone, and the measure of the others."""

    def __init__(self) -> None:
        self.stamp = ""
        self.round_trips = 0
        self._pots: dict[str, tuple[int, Pot]] = {}
        """The end and the pot of each purse."""
        self._leases: dict[tuple[str, str], Lease] = {}
        self._turns: dict[str, int] = {}
        self._released: set[str] = set()
        self._told: dict[tuple[str, int], Notice] = {}

    def exchange(
        self, stamp: str, writer: str, turn: int, wishes: Sequence[Wish]
    ) -> Sequence[Given]:
        """Settle, give back and lease. Raises: StoreClosedError, WriterReleasedError."""
        self._check(writer)
        if not stamp or stamp != self.stamp:
            raise StoreClosedError
        if turn <= self._turns.get(writer, 0):
            return ()
        self._turns[writer] = turn
        self.round_trips += 1
        found: list[Given] = []
        for wish in wishes:
            _, pot = self._pots.get(wish.purse, (0, Pot()))
            pot, lease, given = give(pot, self._leases.get((wish.purse, writer)), wish)
            self._pots[wish.purse] = wish.until_us, pot
            self._leases[wish.purse, writer] = lease
            found.append(given)
        return found

    def join(self, writer: str, turn: int, held: Mapping[str, tuple[Lease, int]]) -> None:
        """Tell a store that is being built up what a worker has. Raises: WriterReleasedError."""
        self._check(writer)
        if not is_building(self.stamp) or turn <= self._turns.get(writer, 0):
            return
        self._turns[writer] = turn
        for purse, (lease, until_us) in held.items():
            _, pot = self._pots.get(purse, (until_us, Pot()))
            pot, known = join(pot, self._leases.get((purse, writer)), lease)
            self._pots[purse] = until_us, pot
            self._leases[purse, writer] = known

    def state(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """Its stamp, the living writers, the released ones."""
        return self.stamp, frozenset(self._turns), frozenset(self._released)

    def clear(self, seen: str, stamp: str) -> None:
        """Forget everything, to build it up for a stamp."""
        if self.stamp == seen:
            self.stamp = building(stamp)
            for each in (self._pots, self._leases, self._turns, self._released):
                each.clear()

    def open(self, stamp: str, counted: Collection[str] = ()) -> None:
        """Lease from now on, if all are counted."""
        if self.stamp == building(stamp) and not {*counted} - self._turns.keys() - self._released:
            self.stamp = stamp

    def release(self, writer: str, spent: Mapping[str, tuple[int, int]]) -> None:
        """A writer is dead and this is all that it spent."""
        if writer in self._released:
            return
        self._released.add(writer)
        self._turns.pop(writer, None)
        held = {name for name, of in self._leases if of == writer and not name.startswith(RATE)}
        for purse in sorted(held | spent.keys()):
            self._free(purse, writer, *spent.get(purse, (0, 0)))

    def lapse(self, writers: Collection[str]) -> None:
        """Released writers have been dead for so long that all is back that comes back by time."""
        for purse, writer in [*self._leases]:
            if writer in writers and writer in self._released:
                self._free(purse, writer, 0, 0)

    def forget(self, before_us: int) -> None:
        """Forget purses whose window ended before."""
        for purse in [name for name, (end_us, _) in self._pots.items() if end_us < before_us]:
            del self._pots[purse]
            for each in [each for each in self._leases if each[0] == purse]:
                del self._leases[each]

    def held(self) -> Sequence[Held]:
        """Every purse, by name."""
        return [Held(name, pot.granted, pot.spent) for name, (_, pot) in sorted(self._pots.items())]

    def notice(self, notice: Notice) -> bool:
        """Keep a notice; whether it is the first of its purse and part."""
        return self._told.setdefault((notice.purse, notice.ppm), notice) is notice

    def notices(self) -> Sequence[Notice]:
        """All that were kept, oldest first."""
        return sorted(self._told.values(), key=lambda each: each.at_us)

    def close(self) -> None:
        """Nothing is open."""

    def _free(self, purse: str, writer: str, spent: int, until_us: int) -> None:
        until_us, pot = self._pots.get(purse, (until_us, Pot()))
        self._pots[purse] = until_us, release(pot, self._leases.pop((purse, writer), None), spent)

    def _check(self, writer: str) -> None:
        if writer in self._released:
            raise WriterReleasedError


def join(pot: Pot, lease: Lease | None, held: Lease) -> tuple[Pot, Lease]:
    """The pot with what a worker says that it has."""
    before = lease or Lease()
    moved = Pot(
        granted=pot.granted + held.granted - before.granted,
        spent=pot.spent + held.spent - before.spent,
        holders=pot.holders + (lease is None),
        seekers=pot.seekers - before.short,
    )
    return moved, Lease(held.granted, held.spent)


def release(pot: Pot, lease: Lease | None, spent: int) -> Pot:
    """The pot without a dead worker's lease, and with all that it spent."""
    before = lease or Lease()
    return Pot(
        granted=pot.granted + spent - before.granted,
        spent=pot.spent + spent - before.spent,
        holders=pot.holders - (lease is not None),
        seekers=pot.seekers - before.short,
    )
