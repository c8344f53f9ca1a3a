"""Stopping: a call is refused whose contract covers so much and no more, once that is used up.

It is told by what is booked. Calls that are under way when something is used up end as they began,
and cost what the contract says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steelyard.catalogue.offers import Offer
from steelyard.dispatch import refusals
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.snapshot import Snapshot
from steelyard.dispatch.stages import Call
from steelyard.rating import covering, purses
from steelyard.rating.counting import Counter
from steelyard.values import periods
from steelyard.values.meters import METERS
from steelyard.values.periods import Month

LEAST = {"input_tokens": 1, "output_tokens": 1, "requests": 1}
"""What any call uses: it is not stopped before there is less than that."""

_S = 1_000_000


class Booked(NamedTuple):
    """What the books have counted, and the period after the closed ones."""

    counters: Mapping[Counter, int]
    first_open: Month | None


def contracts(snapshot: Snapshot) -> frozenset[str]:
    """The contracts that stop calls."""
    return frozenset(
        offer.contract
        for places in snapshot.places.values()
        for place in places
        for offer in place.offers
        if stops((offer,))
    )


def stops(some: Iterable[Offer]) -> bool:
    """Whether some offer covers so much and no more."""
    return any(grant.used_up == "stop" for offer in some for grant in offer.grants)


def refusal(booked: Booked, call: Call, offer: Offer) -> Refusal | None:
    """Why a call is not answered under an offer; None when it is.

    Refuses: cover_used_up; insufficient_quota, where waiting brings it back.
    """
    if not stops((offer,)) or offer.tariff is None:
        return None
    at_us = call.arrival.at_us
    period = periods.month_of(at_us, offer.zone)
    if booked.first_open is not None:
        period = max(period, booked.first_open)
    names = (offer.contract, call.ask.model, offer.zone)
    asked = covering.call_of(names, period, (at_us, at_us), offer.tariff, LEAST)
    priced = [m for m in METERS if any(m in tier.rates.prices for tier in offer.tariff.tiers)]
    found = purses.draws(asked, offer.grants, priced, booked.counters)
    if found.refused is None:
        return None
    what = f"grant {found.refused.id!r} of contract {offer.contract!r}"
    if found.until_us is None:
        return refusals.cover_used_up(what)
    wait_s = max(1, -(-(found.until_us - at_us) // _S))
    return Refusal(
        code=Code.INSUFFICIENT_QUOTA,
        type=Code.INSUFFICIENT_QUOTA,
        message=f"The {what} is used up for now. Please try again in {wait_s} s.",
        retry_after_s=wait_s,
    )
