"""Burns: what units count as in a grant, as exact fractions turned into whole parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import lcm
from typing import Annotated, Literal, NamedTuple

import msgspec

from steelyard.catalogue.documents import Boundary, Burn, Rates, Tariff, Tier
from steelyard.catalogue.names import Pattern
from steelyard.catalogue.places import Path
from steelyard.catalogue.rates import FALLBACKS, TOKENS
from steelyard.catalogue.sheets import Sheet, suggestion
from steelyard.values.meters import METERS
from steelyard.values.money import PER_MILLION

WEIGHT_MAX = 10**9
SCALE_MAX = 10**15
"""Into how many parts one unit of a grant can be divided."""

_FRACTION = re.compile(r"(\d{1,12})(?:\.(\d{1,12})|/(\d{1,12}))?", re.ASCII)


class RawStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a ``tier`` list. Unit: tokens of the prompt for ``up_to``."""

    up_to: Annotated[int, msgspec.Meta(ge=1)] | None = None
    per_token: dict[str, object] = {}
    per_million: dict[str, object] = {}


class RawBurn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What units of some models count as: each the same, by meter, or by meter and tier."""

    model: Pattern = "*"
    each: object = None
    per_token: dict[str, object] = {}
    per_million: dict[str, object] = {}
    tier: tuple[RawStep, ...] = ()
    tiers: Literal["whole", "progressive"] | None = None
    boundary: Boundary | None = None


Weights = Mapping[str, Fraction]


class Step(NamedTuple):
    """What units of each meter count as, up to some length of the prompt."""

    up_to: int | None
    weights: Weights


class Steps(NamedTuple):
    """The steps for some models; ``kind`` is how a step is chosen."""

    model: str
    steps: tuple[Step, ...]
    kind: Literal["whole", "progressive"]
    boundary: Boundary


def read(
    sheet: Sheet, path: Path, raw: tuple[RawBurn, ...], meters: tuple[str, ...]
) -> tuple[Steps, ...] | None:
    """The steps of a ``burn`` list; None when they are faulty."""
    found = [_steps(sheet, (*path, place), each, meters) for place, each in enumerate(raw)]
    kept = tuple(each for each in found if each is not None)
    return kept if len(kept) == len(found) else None


def scale(some: tuple[Steps, ...], *others: Fraction) -> int:
    """The least number of parts by which all weights, and some other numbers, are whole."""
    weights = [w for each in some for step in each.steps for w in step.weights.values()]
    return lcm(*(each.denominator for each in (*weights, *others)))


def burns(some: tuple[Steps, ...], parts: int) -> tuple[Burn, ...]:
    """The steps, with so many parts to one unit of the grant."""
    return tuple(
        Burn(
            model=each.model,
            tariff=Tariff(
                tiers=tuple(
                    Tier(step.up_to, Rates({m: int(w * parts) for m, w in step.weights.items()}))
                    for step in each.steps
                ),
                boundary=each.boundary,
                kind=each.kind,
            ),
        )
        for each in some
    )


def fraction(sheet: Sheet, path: Path, written: object) -> Fraction | None:
    """An exact number that is not negative: ``"0.5"``, ``"1/2"`` or ``"2"``."""
    match = _FRACTION.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        sheet.fault(path, 'write a number in quotes, "0.5", "1/2" or "2", so that it is exact')
        return None
    whole, digits, below = match.groups()
    if below is not None:
        if int(below) == 0:
            sheet.fault(path, f'"{written}" divides by nothing')
            return None
        return Fraction(int(whole), int(below))
    return Fraction(int(whole + (digits or "")), 10 ** len(digits or ""))


def _steps(sheet: Sheet, path: Path, raw: RawBurn, meters: tuple[str, ...]) -> Steps | None:
    written = [raw.each is not None, bool(raw.per_token or raw.per_million), bool(raw.tier)]
    if written.count(True) != 1:
        reason = 'what does a unit count as? Write each = "2", per_token = { input = "2" } or tiers'
        sheet.fault(path, reason)
        return None
    if not raw.tier and (raw.tiers is not None or raw.boundary is not None):
        sheet.fault(path, "this says how a tier is chosen, and there is no tier")
        return None
    rows = raw.tier or (RawStep(per_token=raw.per_token, per_million=raw.per_million),)
    found: list[Step] = []
    for place, row in enumerate(rows):
        where = (*path, "tier", place) if raw.tier else path
        if raw.each is not None:
            weight = _weight(sheet, (*path, "each"), raw.each, 1)
            weights = None if weight is None else dict.fromkeys(meters, weight)
        else:
            weights = _weights(sheet, where, row, meters)
        if weights is not None:
            found.append(Step(row.up_to, weights))
    if len(found) < len(rows) or not _rising(sheet, path, found):
        return None
    return Steps(raw.model, tuple(found), raw.tiers or "progressive", raw.boundary or "closed")


def _rising(sheet: Sheet, path: Path, steps: list[Step]) -> bool:
    below = 0
    for place, step in enumerate(steps):
        where = (*path, "tier", place)
        last = place == len(steps) - 1
        if (step.up_to is None) != last:
            sheet.fault(where, "each tier but the last has an up_to")
            return False
        if step.up_to is not None and step.up_to <= below:
            sheet.fault((*where, "up_to"), f"up_to = {step.up_to} does not rise above {below}")
            return False
        if step.weights.keys() != steps[0].weights.keys():
            sheet.fault(where, "each tier has to say what the same meters count as")
            return False
        below = step.up_to or below
    return True


def _weights(sheet: Sheet, path: Path, row: RawStep, meters: tuple[str, ...]) -> Weights | None:
    found: dict[str, Fraction] = {}
    for table, names, per in (
        ("per_token", row.per_token, 1),
        ("per_million", row.per_million, PER_MILLION),
    ):
        for name, written in names.items():
            where = (*path, table, name)
            meter = name if name in METERS else name + TOKENS
            if meter not in meters:
                known = suggestion(name, [each.removesuffix(TOKENS) for each in meters])
                sheet.fault(where, f'"{name}" is no meter that counts here{known}')
                return None
            weight = _weight(sheet, where, written, per)
            if weight is None:
                return None
            found[meter] = weight
    if not found:
        sheet.fault(path, 'nothing counts; write per_token = { input = "1", output = "4" }')
        return None
    for meter, like in FALLBACKS:
        if like in found and meter in meters:
            found.setdefault(meter, found[like])
    return {meter: found[meter] for meter in METERS if meter in found}


def _weight(sheet: Sheet, path: Path, written: object, per: int) -> Fraction | None:
    weight = fraction(sheet, path, written)
    if weight is None:
        return None
    if weight > WEIGHT_MAX or (weight / per).denominator > SCALE_MAX:
        sheet.fault(path, f'"{written}" is too large, or too fine, to be counted')
        return None
    return weight / per
