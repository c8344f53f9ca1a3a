"""Funding: what was paid in, and what was raised, as facts of the journal say it.

A raise is asked for by one person and decided by another: nobody approves what they asked for. What
was decided first holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from steelyard.values.facts import Fact
from steelyard.values.ids import content_id

RECEIPT, ASKED, DECIDED = "receipt", "raise-asked", "raise-decided"
KINDS = frozenset({RECEIPT, ASKED, DECIDED})

State = Literal["open", "approved", "rejected"]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a customer paid in under a contract, once by its ``id``. Unit: pico-units."""

    id: str
    contract: str
    customer: str
    currency: str
    amount_pico: int
    note: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """That a purse is to be raised to a size. Unit: pico-units."""

    id: str
    purse: str
    size_pico: int
    note: str = ""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody else has decided."""

    id: str
    approved: bool
    note: str = ""


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """A request, who asked, and what became of it. Unit: pico-units, µs since 1970-01-01 UTC."""

    id: str
    purse: str
    size_pico: int
    state: State
    asked_by: str
    asked_us: int
    decided_by: str = ""
    decided_us: int | None = None
    note: str = ""


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid in by contract, what purses were raised to, and every request."""

    paid_pico: Mapping[str, int]
    raised_pico: Mapping[str, int]
    raises: tuple[Raise, ...]


def fact(said: Receipt | Asked | Decided, at_us: int, by: str) -> Fact:
    """What is said, as a fact; said again under its id it is the same one."""
    kind = _KIND_OF[type(said)]
    scope = said.contract if isinstance(said, Receipt) else ""
    fact_id = content_id(0, f"{kind}\0{scope}\0{said.id}".encode())
    body = msgspec.json.encode(said).decode()
    return Fact(fact_id=fact_id, at_us=at_us, kind=kind, body=body, by=by)


def receipt_of(found: Fact) -> Receipt | None:
    """The receipt that a fact says; None when it says something else."""
    return _receipt(found.body) if found.kind == RECEIPT else None


def fold(facts: Iterable[Fact]) -> Funding:
    """What facts say, in their order; of other kinds they say nothing."""
    paid: dict[str, int] = {}
    raises: dict[str, Raise] = {}
    raised: dict[str, int] = {}
    for each in facts:
        if (receipt := receipt_of(each)) is not None:
            paid[receipt.contract] = paid.get(receipt.contract, 0) + receipt.amount_pico
        elif each.kind == ASKED:
            asked = _asked(each.body)
            raises.setdefault(
                asked.id,
                Raise(
                    id=asked.id,
                    purse=asked.purse,
                    size_pico=asked.size_pico,
                    state="open",
                    asked_by=each.by,
                    asked_us=each.at_us,
                    note=asked.note,
                ),
            )
        elif each.kind == DECIDED:
            decided = _decided(each.body)
            before = raises.get(decided.id)
            if before is None or before.state != "open" or before.asked_by == each.by:
                continue
            raises[decided.id] = msgspec.structs.replace(
                before,
                state="approved" if decided.approved else "rejected",
                decided_by=each.by,
                decided_us=each.at_us,
            )
            if decided.approved:
                raised[before.purse] = before.size_pico
    return Funding(paid_pico=paid, raised_pico=raised, raises=tuple(raises.values()))


_KIND_OF = {Receipt: RECEIPT, Asked: ASKED, Decided: DECIDED}
_receipt = msgspec.json.Decoder(Receipt).decode
_asked = msgspec.json.Decoder(Asked).decode
_decided = msgspec.json.Decoder(Decided).decode
