"""Dedupe: each call is booked once, however often its record is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from steelyard.clerk.books import BookedFact, CallDigest, SetAside
from steelyard.values.facts import Fact
from steelyard.values.usage import UsageRecord

DIGEST_BYTES = 8
"""Enough to tell two contents under one id apart, but for one case in 2**64."""

_encode = msgspec.msgpack.Encoder().encode
_FIELDS_AT_FIRST = 21
"""How many fields a record once had. Those after them count up to the last that says something."""

_APPENDED = UsageRecord.__struct_fields__[_FIELDS_AT_FIRST:]
_UNSAID = UsageRecord.__struct_defaults__[-len(_APPENDED) :]
_UNSAID_BYTES = [len(_encode(each)) for each in _UNSAID]

# By how many of the appended fields say something: how the record begins (MessagePack has a byte,
# then the number of fields in two, for an array of 16 or more), and how much of its end is cut.
_BEGINNINGS = [
    b"\xdc" + (_FIELDS_AT_FIRST + said).to_bytes(2, "big") for said in range(len(_APPENDED) + 1)
]
_LEFT_OUT = [sum(_UNSAID_BYTES[said:]) for said in range(len(_APPENDED) + 1)]

_appended = attrgetter(*_APPENDED)


FACT_CONFLICT = "fact_conflict"
"""Why a fact is set aside whose id another one has that says something else."""


class SiftedFacts(NamedTuple):
    """Facts that are new, and those that have the id of one that says something else."""

    facts: list[Fact]
    conflicts: list[SetAside]


class Sifted(NamedTuple):
    """Records to book with their digests, how many were booked before, and the contradictions."""

    records: Sequence[UsageRecord]
    calls: list[CallDigest]
    duplicates: int
    conflicts: list[SetAside]


def digest(record: UsageRecord) -> bytes:
    """A hash of what a record says of its call.

    The edition is left out: a trace that is imported again under newer documents says the same.
    """
    content = _content(msgspec.structs.replace(record, edition=0))
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def sift(
    records: Sequence[UsageRecord],
    booked: Callable[[Collection[bytes]], Mapping[bytes, bytes]],
) -> Sifted:
    """Keep the first record of each call, and set aside what contradicts it.

    ``booked`` tells the digests of those calls that are in the books.
    """
    digests = [digest(record) for record in records]
    ids = [record.call_id for record in records]
    known = dict(booked(ids))
    if not known and len(set(ids)) == len(ids):
        return Sifted(records, list(zip(ids, digests, strict=True)), 0, [])
    fresh: list[UsageRecord] = []
    calls: list[CallDigest] = []
    conflicts: list[SetAside] = []
    for record, call in zip(records, zip(ids, digests, strict=True), strict=True):
        call_id, content = call
        if call_id not in known:
            known[call_id] = content
            fresh.append(record)
            calls.append(call)
        elif known[call_id] != content:
            conflicts.append(set_aside(record, "conflict"))
    duplicates = len(records) - len(fresh) - len(conflicts)
    return Sifted(fresh, calls, duplicates, conflicts)


def sift_facts(facts: Sequence[Fact], booked: Callable[[], Sequence[BookedFact]]) -> SiftedFacts:
    """Keep of each fact the first; one with its id that says something else is set aside."""
    if not facts:
        return SiftedFacts([], [])
    known = {each.fact.fact_id: (each.fact.kind, each.fact.body) for each in booked()}
    fresh: list[Fact] = []
    conflicts: list[SetAside] = []
    for fact in facts:
        said = (fact.kind, fact.body)
        if fact.fact_id not in known:
            known[fact.fact_id] = said
            fresh.append(fact)
        elif known[fact.fact_id] != said:
            record = msgspec.msgpack.encode(fact)
            conflicts.append(SetAside(fact.fact_id, FACT_CONFLICT, record))
    return SiftedFacts(fresh, conflicts)


def set_aside(record: UsageRecord, reason: str) -> SetAside:
    """A record that is kept for inspection."""
    return SetAside(call_id=record.call_id, reason=reason, record=_content(record))


def _content(record: UsageRecord) -> bytes:
    """A record as it was written before there were the last fields, of which it says nothing."""
    content = _encode(record)
    values = _appended(record)
    said = 0 if values == _UNSAID else len(_APPENDED)
    while said and values[said - 1] == _UNSAID[said - 1]:
        said -= 1
    beginning = _BEGINNINGS[said]
    return beginning + content[len(beginning) : len(content) - _LEFT_OUT[said]]
