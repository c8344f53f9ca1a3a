"""Capacity: what tokens a minute that are reserved cover, from ``[[capacity]]`` tables."""

from __future__ import annotations

from fractions import Fraction

from steelyard.catalogue import grants
from steelyard.catalogue.burns import RawBurn
from steelyard.catalogue.documents import Grant, Quota
from steelyard.catalogue.grants import Scope, Size
from steelyard.catalogue.names import Identifier
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet
from steelyard.values.meters import PROMPT_METERS

ANSWER_METERS = ("output_tokens", "reasoning_tokens")


class RawCapacity(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[[capacity]]`` as it is written. Unit: tokens a minute for ``*_tpm``."""

    input_tpm: Size | None = None
    output_tpm: Size | None = None
    throughput: Identifier | None = None
    burn: tuple[RawBurn, ...] = ()


def read(sheet: Sheet, zone: str) -> tuple[Grant, ...]:
    """What the reservations of a contract's sheet cover; faulty ones are noted."""
    rows = shapes(sheet, "capacity", RawCapacity)
    return tuple(grant for row in rows if (grant := covering(row, zone)) is not None)


def covering(row: Found[RawCapacity], zone: str) -> Grant | None:
    """What one reservation covers in each minute: a quota of input, and one of output."""
    raw = row.value
    written = [each is not None for each in (raw.input_tpm, raw.output_tpm)]
    if any(written) == (raw.throughput is not None) or (any(written) and not all(written)):
        row.fault((), "how much? Write input_tpm and output_tpm, or the throughput that is ordered")
        return None
    sizes = [Fraction(raw.input_tpm or 1), Fraction(raw.output_tpm or 1)]
    given = grants.burning(row, "tokens", sizes, raw.burn)
    if given is None:
        return None
    given = given._replace(meters=(*PROMPT_METERS, *ANSWER_METERS), size=0)
    more: dict[str, object] = {"shared": raw.shared is None or raw.shared, "paid": True}
    if raw.throughput is not None:
        more["of"] = raw.throughput
    else:
        more["quotas"] = quotas(*(int(size * given.scale) for size in sizes))
    return grants.grant_of(row, raw, given, zone, more)


def quotas(input_parts: int, output_parts: int) -> tuple[Quota, Quota]:
    """What there is in each minute."""
    return (
        Quota(name="input", size=input_parts, per="minute", meters=PROMPT_METERS),
        Quota(name="output", size=output_parts, per="minute", meters=ANSWER_METERS),
    )
