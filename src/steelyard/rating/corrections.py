"""Corrections: which calls are to be rated in another way than they were, and what changes.

A correction is an order that somebody gave, written down as a fact. It holds for calls that were
booked before the batch that carries it out, and is never taken back: another one follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache

import msgspec

from steelyard.catalogue.documents import Edition
from steelyard.values import money, periods
from steelyard.values.facts import Fact
from steelyard.values.usage import UsageRecord

FACT_KIND = "correction"
"""Under which kind a fact's body is a ``Correction``."""

CALLS_MAX = 100_000
"""How many calls one correction names at most, so that its fact fits a frame."""


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which calls a correction is for: those of which all of this is so.

    ``calls`` are ids in hexadecimal; empty: any. ``period`` is the month in which the call was made
    in its contract's zone, whatever it was invoiced with. The names are shell patterns.
    Unit: µs since 1970 UTC, half-open.
    """

    calls: tuple[str, ...] = ()
    period: str | None = None
    from_us: int | None = None
    until_us: int | None = None
    customer: str = "*"
    contract: str = "*"
    model: str = "*"
    deployment: str = "*"


class Rerate(msgspec.Struct, frozen=True, tag="rerate"):
    """Rate under the documents of this edition; a call that they don't price stays as it is."""

    under: int


class Reverse(msgspec.Struct, frozen=True, tag="reverse"):
    """Take back what was charged, and what it cost unless ``keep_costs``."""

    keep_costs: bool = False


class Amend(msgspec.Struct, frozen=True, tag="amend"):
    """What the meters should have counted; those not named stay. None: the costs' stay, too.

    Where a call's costs are of the same counts as its charges, both follow ``meters``.
    """

    meters: dict[str, int]
    produced: dict[str, int] | None = None


class Rescale(msgspec.Struct, frozen=True, tag="rescale"):
    """The counts of meters times a fraction (numerator, denominator), rounded half to even.

    For an upstream that counted by another scale.
    """

    factors: dict[str, tuple[int, int]]


Change = Rerate | Reverse | Amend | Rescale


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """An order to correct. ``edition`` are the documents as they stood when it was given.

    Its contracts say in which zone a call's month is, and how corrections are paid.
    """

    scope: Scope
    change: Change
    edition: int
    reason: str = ""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A correction and the batch that carried it out: it is for calls of earlier batches."""

    batch: int
    correction: Correction
    zones: Mapping[str, str]
    """The zone of each contract."""


def fact(correction: Correction, at_us: int, fact_id: bytes) -> Fact:
    """An order as a fact of the journal, written down at ``at_us``."""
    body = msgspec.json.encode(correction).decode()
    return Fact(fact_id=fact_id, at_us=at_us, kind=FACT_KIND, body=body)


def zones(edition: Edition) -> Mapping[str, str]:
    """The zone of each contract; versions of one contract never differ in it."""
    return {each.id: each.zone for each in edition.contracts}


class Corrections:
    """Corrections in the order in which they were carried out, found quickly for a call."""

    def __init__(self, applied: Sequence[Applied]) -> None:
        self._by_call: dict[bytes, list[int]] = {}
        self._open: list[int] = []
        self._applied = applied
        for place, each in enumerate(applied):
            named = each.correction.scope.calls
            for call in named:
                self._by_call.setdefault(bytes.fromhex(call), []).append(place)
            if not named:
                self._open.append(place)

    @property
    def calls(self) -> Iterable[bytes]:
        """The calls that are named."""
        return self._by_call.keys()

    @property
    def named_only(self) -> bool:
        """Whether every correction names its calls."""
        return not self._open

    def of(self, record: UsageRecord, batch: int) -> list[Correction]:
        """The corrections of a call that was booked in a batch, in their order."""
        places = self._open
        if named := self._by_call.get(record.call_id):
            places = sorted((*places, *named))
        found = (self._applied[place] for place in places)
        return [
            each.correction
            for each in found
            if each.batch > batch and _holds(each.correction.scope, record, each.zones)
        ]

    def may_touch(self, customer: str, contract: str) -> bool:
        """Whether calls under a contract may be among them, but for those that are named."""
        scopes = (self._applied[place].correction.scope for place in self._open)
        return any(
            fnmatchcase(customer, each.customer) and fnmatchcase(contract, each.contract)
            for each in scopes
        )


def corrected(record: UsageRecord, corrections: Iterable[Correction]) -> UsageRecord:
    """A call as it should have been rated."""
    for each in corrections:
        record = _changed(record, each.change)
    return record


def _changed(record: UsageRecord, change: Change) -> UsageRecord:
    made = record.meters if record.produced is None else record.produced
    replace = msgspec.structs.replace
    match change:
        case Rerate(under):
            return replace(record, edition=under)
        case Reverse(keep_costs):
            kept, tries = (made, record.tries) if keep_costs else ({}, ())
            return replace(record, meters={}, produced=kept, tries=tries)
        case Amend(meters, produced):
            found = record.produced if produced is None else {**made, **produced}
            return replace(record, meters={**record.meters, **meters}, produced=found)
        case Rescale(factors):
            produced = None if record.produced is None else _scaled(record.produced, factors)
            return replace(record, meters=_scaled(record.meters, factors), produced=produced)


def _scaled(meters: Mapping[str, int], factors: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    return {
        meter: money.divide_half_even(units * factors[meter][0], factors[meter][1])
        if meter in factors
        else units
        for meter, units in meters.items()
    }


def _holds(scope: Scope, record: UsageRecord, zones: Mapping[str, str]) -> bool:
    if scope.from_us is not None and record.at_us < scope.from_us:
        return False
    if scope.until_us is not None and record.at_us >= scope.until_us:
        return False
    names = (
        (record.customer, scope.customer),
        (record.contract, scope.contract),
        (record.model, scope.model),
        (record.deployment, scope.deployment),
    )
    if not all(fnmatchcase(name, pattern) for name, pattern in names):
        return False
    if scope.period is None:
        return True
    start_us, end_us = _bounds_us(scope.period, zones.get(record.contract, "UTC"))
    return start_us <= record.at_us < end_us


@cache
def _bounds_us(period: str, zone: str) -> tuple[int, int]:
    return periods.bounds_us(periods.month(period), zone)
