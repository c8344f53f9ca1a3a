"""Quotas: what a contract gives and no more, drawn on as budgets are, in units instead of money.

A grant that stops is a purse where all that it counts is known before a call and when it is
weighed: units of meters, each as one, once or by days, for whatever calls of a model. What a call
may use of it at the most is held, so that no number of calls at once uses more than there is.

Other grants that stop (credits and ratios, hours that roll, what is bought by events, several for
one model) are looked up in what is booked: see ``stopping``.
"""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase

from steelyard.catalogue import offers
from steelyard.catalogue.documents import Grant
from steelyard.catalogue.offers import Offer
from steelyard.dispatch.purses import NEVER_US, Purse
from steelyard.rating import bounds, quotas
from steelyard.rating.bounds import ANSWER_METERS, Highest
from steelyard.values import periods
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.usage import UsageRecord

PREFIX = "grant/"
"""How the names of such purses begin."""

_DAY = timedelta(days=1)


def grant_of(offer: Offer, model: str) -> Grant | None:
    """The grant of which calls of a model draw as on a purse; None: there is none.

    Of several that cover it, which of them pays is for the books to say.
    """
    mine = [
        grant
        for grant in offer.all_grants
        if grant.gives != "money"
        and any(fnmatchcase(model, each) for each in offers.patterns(grant))
    ]
    if len(mine) != 1 or mine[0] not in offer.grants or not bounds.is_known(mine[0]):
        return None
    return mine[0]


def purses(offer: Offer, model: str, at_us: int) -> tuple[Purse, ...]:
    """What a call of a model draws on at an instant, in units: one purse for each quota."""
    grant = grant_of(offer, model)
    if grant is None:
        return ()
    holder = "" if grant.shared else model
    found: list[Purse] = []
    for quota in quotas.quotas_of(grant):
        window, until_us = "once", NEVER_US
        if quota.per != "once":
            first, last = quotas.days_of(grant.since, quota.per, offer.zone, at_us)
            window, until_us = first.isoformat(), periods.midnight_us(last + _DAY, offer.zone)
        found.append(
            Purse(
                name=f"{PREFIX}{offer.contract}/{grant.id}/{holder}/{quota.name}/{window}",
                currency="",
                size=quota.size,
                lot=1,
                until_us=until_us,
            )
        )
    return tuple(found)


def said(purse: Purse) -> str:
    """What a caller is told a purse is; empty for another kind."""
    if not purse.name.startswith(PREFIX):
        return ""
    _, contract, grant, _ = purse.name.split("/", 3)
    return f"grant {grant!r} of contract {contract!r}"


def most(offer: Offer, model: str) -> Highest:
    """What a token of a prompt and of an answer, and a call, are in its units: one, or nothing."""
    meters = _meters(offer, model)
    return Highest(
        prompt_token=int(any(each in meters for each in PROMPT_METERS)),
        answer_token=int(any(each in meters for each in ANSWER_METERS)),
        asked_byte=0,
        once=int("requests" in meters),
    )


def used(record: UsageRecord, offer: Offer) -> list[tuple[Purse, int]]:
    """What a call that was weighed takes of each purse."""
    units = sum(record.meters.get(each, 0) for each in _meters(offer, record.model))
    return [(each, units) for each in purses(offer, record.model, record.at_us)]


def drawn(purse: str, record: UsageRecord, offer: Offer, _: int = 0) -> int:
    """What a call that was weighed takes of a purse; nothing, where another model answered it."""
    return next((units for each, units in used(record, offer) if each.name == purse), 0)


def _meters(offer: Offer, model: str) -> tuple[str, ...]:
    """The meters that its grant counts: those of its own that have a price."""
    grant = grant_of(offer, model)
    if grant is None or offer.tariff is None:
        return ()
    return tuple(each for each in grant.meters if _is_priced(offer, each))


def _is_priced(offer: Offer, meter: str) -> bool:
    assert offer.tariff is not None
    return any(meter in tier.rates.prices for tier in offer.tariff.tiers)
