"""Covering: what grants pay of one call, before money does."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

from steelyard.catalogue.documents import Grant
from steelyard.catalogue.offers import Offer
from steelyard.rating import counting
from steelyard.rating.counting import Counter
from steelyard.values.periods import Month
from steelyard.values.usage import UsageRecord

Covered = dict[str, list[tuple[int, Grant]]]
"""By meter, the units that each grant covers, in the order of cover."""


def cover(
    record: UsageRecord,
    offer: Offer,
    priced: Sequence[str],
    period: Month,
    counters: MutableMapping[Counter, int],
) -> tuple[dict[str, int], Covered]:
    """What is left of a call's units of each meter with a price, and what covers the others."""
    rest = {meter: record.meters.get(meter, 0) for meter in priced}
    covered: Covered = {meter: [] for meter in priced}
    for grant in offer.grants:
        key = counting.of_grant(record.contract, grant, record.model, period)
        for meter in grant.meters:
            left = max(grant.size - counters.get(key, 0), 0)
            part = min(rest.get(meter, 0), left)
            if part:
                counters[key] = counters.get(key, 0) + part
                rest[meter] -= part
                covered[meter].append((part, grant))
    return rest, covered
