"""Releasing: what dead workers had leased is there again, once their journals have been read.

The journal says what a worker has spent. A store of shared limits that is lost, or that was made
for other purses, is built up again from it: the dead are counted from their journals, and each of
the living says what it holds before anything is leased again. Who they are, on whatever machine,
the roster says: each worker is entered before it leases anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Edition
from steelyard.catalogue.offers import Called, Offer
from steelyard.dispatch import leasing, limiting, purses, quotas
from steelyard.dispatch.cover import KEPT_US, SURE_US
from steelyard.dispatch.leasing import AllowanceStore
from steelyard.dispatch.purses import Funds, Payment, Purse, lots
from steelyard.governance.keys import Key
from steelyard.metering import recovery, segments
from steelyard.metering.recovery import Recovery
from steelyard.rating import bounds, scalar
from steelyard.values.clock import Clock, Past
from steelyard.values.usage import UsageRecord

BACK_US, LAPSE_MAX = 62_000_000, 500
"""After how long all is back of a minute that was taken in it; of how many workers at once."""

WORKERS = "gateway-"
"""How the names of writers begin that lease; others only write."""

Editions = Callable[[Iterable[int]], Mapping[int, Edition]]
Spent = Mapping[str, tuple[int, int]]
"""What was spent of purses, and when their windows end. Unit: lots, µs since 1970."""


class Spending:
    """Says which records were paid from which purses. ``known`` gives the keys, by id."""

    def __init__(
        self, funds: Funds, known: Callable[[], Mapping[str, Key]], editions: Editions
    ) -> None:
        self._funds = funds
        self._daily = purses.with_days(funds)
        self._known = known
        self._editions = editions
        self._offers: dict[tuple[int, str, str, str, Called], tuple[Offer, ...]] = {}

    def of(self, records: Iterable[UsageRecord], since_us: int) -> Spent:
        """What records spent of the purses whose windows end after an instant."""
        spent: defaultdict[str, int] = defaultdict(int)
        ends: dict[str, int] = {}
        known = self._known()
        lot = dict[str, int]()
        counts = self._funds.paid or self._daily.limits
        for record in records if counts else ():
            for purse, amount in self._drawn(record, known):
                if purse.until_us > since_us:
                    spent[purse.name] += amount
                    ends[purse.name], lot[purse.name] = purse.until_us, purse.lot
        return {name: (lots(amount, lot[name]), ends[name]) for name, amount in spent.items()}

    def _drawn(self, record: UsageRecord, known: Mapping[str, Key]) -> Iterator[tuple[Purse, int]]:
        """What a record has spent for good, of money, of days and of what was given."""
        if self._daily.limits and record.origin == "live" and record.shadow_of is None:
            units, model = limiting.used(record), record.asked or record.model
            owner = _owner(record, known)
            for purse in limiting.purses(self._daily, owner, model, record.at_us):
                yield purse, units[purse.which]
        offer = self._offer(record) if record.meters and self._funds.paid else None
        if offer is None or offer.tariff is None:
            return
        amount = bounds.drawn_pico(record, offer, scalar.price_pico(record, offer))
        for purse in purses.purses(self._funds, _payment(record, known, offer.currency)):
            yield purse, amount
        yield from quotas.used(record, offer)

    def _offer(self, record: UsageRecord) -> Offer | None:
        called = Called(record.service_tier, record.region, record.mode)
        group = (record.edition, record.contract, record.model, record.deployment, called)
        found = self._offers.get(group)
        if found is None:
            edition = self._editions([record.edition]).get(record.edition)
            if edition is None:
                return None
            found = self._offers[group] = offers.timeline(edition, *group[1:])
        return offers.at(found, record.at_us)


class Elsewhere(Protocol):
    """The workers of all machines, and their journals. Both may raise StoreAwayError."""

    def roster(self) -> Mapping[str, bool]:
        """Every worker by name: whether it is dead, and all that it wrote is shipped."""
        ...

    def bring(self, writer: str) -> Path:
        """Bring here what a writer has shipped; the folder with it."""
        ...


class Keeper:
    """Keeps a store of shared limits true to the journal.

    Of several at once, all do the same, and each thing is done once. Each releases the dead whose
    journal it has; while a store is built up, also those of other machines that left it whole.
    """

    def __init__(
        self,
        store: AllowanceStore,
        journal: Path,
        spending: Spending,
        stamp: str,
        clock: Clock,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Without ``elsewhere`` all workers are those of this journal."""
        self._store = store
        self._journal = journal
        self._elsewhere = elsewhere
        self._spending = spending
        self._stamp = stamp
        self._clock = clock
        self._past = Past(clock, SURE_US)
        self._over: set[str] = set()
        """Writers that are known to be dead, whose journals are whole."""
        self._released_us: dict[str, int] = {}
        """When each was first seen to be released, by the monotonic clock."""
        self._lapsed: set[str] = set()

    def keep(self) -> Recovery | None:
        """Release dead writers, and open the store when everybody is counted.

        What killed writers left is closed before; what that did comes back, should it be anything.
        Raises: StoreAwayError; DamageError for a journal that can't be read.
        """
        forgotten_us = self._past.look() - KEPT_US
        stamp, _, released = self._store.state()
        if stamp not in {self._stamp, leasing.building(self._stamp)}:
            self._store.clear(stamp, self._stamp)
            stamp, _, released = self._store.state()
        written = segments.writers(self._journal)
        unseen = [each for each in written if each not in released]
        found = None
        if not all(map(self._is_over, unseen)):
            found = recovery.recover(self._journal, self._clock)
        for writer in unseen:
            if self._is_over(writer):
                self._release(writer, self._journal)
        if stamp == self._stamp:
            self._store.forget(forgotten_us)
            self._lapse(released)
            return found
        counted = {each for each in written if each.startswith(WORKERS)}
        if self._elsewhere is not None:
            workers = self._elsewhere.roster()
            counted |= workers.keys()
            for writer in sorted(workers.keys() - released - {*written}):
                if workers[writer]:
                    self._release(writer, self._elsewhere.bring(writer))
        self._store.open(self._stamp, counted)
        return found

    def _release(self, writer: str, journal: Path) -> None:
        """A writer is dead and its journal whole: count what it spent, free what it held."""
        since_us = self._past.until_us - KEPT_US
        self._store.release(writer, self._spending.of(records(journal, writer), since_us))

    def _lapse(self, released: frozenset[str]) -> None:
        """Free what the dead had of a minute, once what they took of it is back for certain."""
        now_us = self._clock.monotonic_us()
        for writer in released:
            self._released_us.setdefault(writer, now_us)
        back = [w for w, at_us in self._released_us.items() if now_us - at_us >= BACK_US]
        if due := [each for each in back if each not in self._lapsed][:LAPSE_MAX]:
            self._store.lapse(due)
            self._lapsed.update(due)

    def _is_over(self, writer: str) -> bool:
        if writer not in self._over and recovery.is_over(self._journal, writer):
            self._over.add(writer)
        return writer in self._over


def differences(
    store: AllowanceStore, journal: Path, spending: Spending, since_us: int, *, complete: bool
) -> Iterator[str]:
    """Where a store of shared limits and the journal disagree, a sentence each.

    Of writers that are released the store has what their journals say; of the living at most that,
    since they tell it now and then. A journal is ``complete`` where no machine may have more of it
    than it has shipped; of another one only what it has can be missing in the store.
    Raises: StoreAwayError, DamageError.
    """
    stamp, _, released = store.state()
    if not stamp or leasing.is_building(stamp):
        return
    held = {each.purse: each for each in store.held()}
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for writer in segments.writers(journal):
        for purse, (units, _) in spending.of(records(journal, writer), since_us).items():
            most[purse] = most.get(purse, 0) + units
            if writer in released:
                least[purse] = least.get(purse, 0) + units
    for purse in sorted(held.keys() | least.keys()):
        spent = held[purse].spent if purse in held else 0
        more = complete and spent > most.get(purse, 0)
        if more or spent < least.get(purse, 0):
            said = f"{least.get(purse, 0)} to {most.get(purse, 0)}"
            yield f"{purse}: {spent} lots are spent in the store, {said} in the journal"


def records(journal: Path, writer: str) -> Iterator[UsageRecord]:
    """Every record of one writer; none of one that left nothing. Raises: DamageError."""
    for segment in segments.of_writer(journal, writer) if (journal / writer).is_dir() else ():
        for _, _, item in segments.read(segment.path):
            if isinstance(item, UsageRecord):
                yield item
            elif isinstance(item, tuple):
                yield from item


def _payment(record: UsageRecord, known: Mapping[str, Key], currency: str) -> Payment:
    """Whose call it was; of a key that is gone, what its record says."""
    model = record.asked or record.model
    return Payment(_owner(record, known), record.contract, model, currency, record.at_us)


def _owner(record: UsageRecord, known: Mapping[str, Key]) -> Key:
    return known.get(record.key_id) or Key(
        id=record.key_id, customer=record.customer, contract=record.contract, sha256=""
    )
