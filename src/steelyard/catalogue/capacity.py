"""Capacity: what tokens a minute that are reserved cover, from ``[[capacity]]`` tables."""

from __future__ import annotations

from fractions import Fraction

from steelyard.catalogue import grants
from steelyard.catalogue.burns import RawBurn
from steelyard.catalogue.documents import Grant, Quota
from steelyard.catalogue.grants import Scope, Size
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values.meters import PROMPT_METERS

ANSWER_METERS = ("output_tokens", "reasoning_tokens")


class RawCapacity(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[[capacity]]`` as it is written. Unit: tokens a minute for ``*_tpm``."""

    input_tpm: Size
    output_tpm: Size
    burn: tuple[RawBurn, ...] = ()


def read(sheet: Sheet, zone: str) -> tuple[Grant, ...]:
    """What the reservations of a contract's sheet cover; faulty ones are noted."""
    rows = shapes(sheet, "capacity", RawCapacity)
    return tuple(grant for row in rows if (grant := covering(row, zone)) is not None)


def covering(row: Found[RawCapacity], zone: str) -> Grant | None:
    """What one reservation covers in each minute: a quota of input, and one of output."""
    raw = row.value
    sizes = [Fraction(raw.input_tpm), Fraction(raw.output_tpm)]
    given = grants.burning(row, "tokens", sizes, raw.burn)
    if given is None:
        return None
    quotas = tuple(
        Quota(name=name, size=int(size * given.scale), per="minute", meters=meters)
        for name, size, meters in (
            ("input", sizes[0], PROMPT_METERS),
            ("output", sizes[1], ANSWER_METERS),
        )
    )
    given = given._replace(meters=(*PROMPT_METERS, *ANSWER_METERS), size=0)
    shared = raw.shared is None or raw.shared
    more = {"quotas": quotas, "shared": shared, "paid": True}
    return grants.grant_of(row, raw, given, zone, more)
