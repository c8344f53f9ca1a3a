"""Bounds: no less than a call will be charged, known before it is made and when it is weighed.

What a call is charged in the end can depend on the calls before it: what a grant covers and the
tiers of a month make it less than this, never more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steelyard.catalogue.documents import ANY, COUNTED, Grant, Tariff
from steelyard.catalogue.offers import Offer
from steelyard.rating import quotas, scalar
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.usage import UsageRecord

ANSWER_METERS = ("output_tokens", "reasoning_tokens")

_KNOWN_METERS = frozenset({*PROMPT_METERS, *ANSWER_METERS, "requests"})
"""Of which it is known before a call how many units it has at the most."""

_BY_DAYS = frozenset({"once", "month", "cycle", "week"})


class Highest(NamedTuple):
    """The highest prices that a call can meet. Unit: pico-units for a token, a byte, a whole call.

    ``once`` is what a call can be charged whatever its tokens: for itself, its time, its answer's
    bytes.
    """

    prompt_token: int
    answer_token: int
    asked_byte: int
    once: int

    def most_pico(self, prompt_tokens: int, answer_tokens: int, asked_bytes: int) -> int:
        """The most that a call of at most these lengths is charged. Unit: pico-units."""
        return (
            self.once
            + prompt_tokens * self.prompt_token
            + answer_tokens * self.answer_token
            + asked_bytes * self.asked_byte
        )


def highest(offers: Iterable[Offer], compute_ms_max: int, answer_bytes_max: int) -> Highest:
    """The highest of all prices of these offers, at any hour and in any tier."""
    tariffs = [tariff for offer in offers for tariff in _tariffs(offer)]
    found = [_by_unit(tariff) for tariff in tariffs]
    prices = {meter: max(each.get(meter, 0) for each in found) for each in found for meter in each}
    return Highest(
        prompt_token=max((prices.get(meter, 0) for meter in PROMPT_METERS), default=0),
        answer_token=max((prices.get(meter, 0) for meter in ANSWER_METERS), default=0),
        asked_byte=prices.get("ingress_bytes", 0),
        once=max(prices.get("requests", 0), prices.get("cache_hits", 0))
        + compute_ms_max * prices.get("compute_ms", 0)
        + answer_bytes_max * prices.get("egress_bytes", 0)
        + max((_begun_pico(tariff) for tariff in tariffs), default=0),
    )


def drawn_pico(record: UsageRecord, offer: Offer, price_pico: int) -> int:
    """What a call that was weighed takes of its cover: no less than it will be charged.

    Unit: pico-units of the offer's currency, also of its price by itself.
    """
    if offer.tariff is None or offer.tariff.kind not in COUNTED:
        return price_pico
    tariff = scalar.tariff_for(record, offer)
    prices = _by_unit(tariff)
    highest_pico = sum(units * prices.get(meter, 0) for meter, units in record.meters.items())
    return max(price_pico, highest_pico + _begun_pico(tariff))


def is_known(grant: Grant) -> bool:
    """Whether what a call uses of a grant that stops is known of that call alone."""
    return (
        grant.used_up == "stop"
        and grant.gives == "units"
        and not (grant.of or grant.burns or grant.tiers_excluded or grant.cached_excluded)
        and (grant.labels, grant.by, grant.backdated) == (ANY, "start", None)
        and (grant.scale, grant.step) == (1, 1)
        and {*grant.meters} <= _KNOWN_METERS
        and all(each.per in _BY_DAYS and not each.meters for each in quotas.quotas_of(grant))
    )


def _tariffs(offer: Offer) -> Iterable[Tariff]:
    if offer.tariff is not None:
        yield offer.tariff
    for peak in offer.peaks:
        yield peak.tariff


def _by_unit(tariff: Tariff) -> Mapping[str, int]:
    """The highest price of one unit of each meter; of one that is sold by the block its part."""
    prices: dict[str, int] = {}
    for tier in tariff.tiers:
        for meter, price_pico in tier.rates.prices.items():
            part_pico = -(-price_pico // tariff.blocks.get(meter, 1))
            prices[meter] = max(prices.get(meter, 0), part_pico)
    return prices


def _begun_pico(tariff: Tariff) -> int:
    """What a call can cost beyond its units: a minimum, and a block of each meter that is begun."""
    dearest = {
        meter: max(tier.rates.prices.get(meter, 0) for tier in tariff.tiers)
        for meter in tariff.blocks
    }
    return tariff.minimum_pico + sum(dearest.values())
