"""Routes: by which deployments a model's calls go, parsed from ``steelyard.toml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from steelyard.catalogue.documents import Deployment
from steelyard.catalogue.names import Identifier, ModelId
from steelyard.catalogue.shapes import shapes
from steelyard.catalogue.sheets import Found, Sheet, suggestion
from steelyard.values import money

Strategy = Literal["weighted", "price", "latency", "load", "affinity"]

_PERCENT = re.compile(r"(.*\S)\s*%")
_PPM_PER_PERCENT = 10_000


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that gets a part of the calls. Unit: ``share_ppm`` parts per million."""

    deployment: str
    share_ppm: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's calls find their deployment, and what is tried when one fails.

    ``deployments`` are all that serve the model where none are named. ``fallback`` are the models
    tried when all of them failed, in their order. ``retries`` is how many attempts follow the first
    at most; None: each deployment is tried once, at most three in all. The ``canary`` is asked
    first by its share of the calls, and by no others. The ``shadow`` gets a copy of its share of
    them, whose answer nobody sees. Unit: ms.
    """

    model: str
    strategy: Strategy = "weighted"
    deployments: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    retries: int | None = None
    hedge_ms: int | None = None
    canary: Part | None = None
    shadow: Part | None = None


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deployment: Identifier
    share: object


class _Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: ModelId
    strategy: Strategy = "weighted"
    deployments: tuple[Identifier, ...] = ()
    fallback: tuple[ModelId, ...] = ()
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] | None = None
    hedge_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)] | None = None
    canary: _Part | None = None
    shadow: _Part | None = None


def read(sheet: Sheet, deployments: Sequence[Found[Deployment]]) -> list[Found[Route]]:
    """Parse the ``[[route]]`` tables, and check what they name among the deployments."""
    models = {each.value.id: each.value.model for each in deployments}
    found: list[Found[Route]] = []
    for row in shapes(sheet, "route", _Route):
        raw, before = row.value, len(sheet.faults)
        if any(each.value.model == raw.model for each in found):
            row.fault(("model",), f'"{raw.model}" has a route already; keep one')
        if raw.model not in models.values():
            known = suggestion(raw.model, models.values())
            row.fault(("model",), f'no deployment serves "{raw.model}"{known}')
        for index, name in enumerate(raw.deployments):
            _serves(row, ("deployments", index), name, raw.model, models)
        for index, name in enumerate(raw.fallback):
            if name == raw.model:
                row.fault(("fallback", index), "a model does not fall back to itself")
            elif name not in models.values():
                known = suggestion(name, models.values())
                row.fault(("fallback", index), f'no deployment serves "{name}"{known}')
        canary, shadow = _part(row, "canary", raw.canary), _part(row, "shadow", raw.shadow)
        if canary is not None:
            _serves(row, ("canary", "deployment"), canary.deployment, raw.model, models)
        if shadow is not None and shadow.deployment not in models:
            known = suggestion(shadow.deployment, models)
            row.fault(("shadow", "deployment"), f'unknown deployment "{shadow.deployment}"{known}')
        if len(sheet.faults) > before:
            continue
        route = Route(
            model=raw.model,
            strategy=raw.strategy,
            deployments=raw.deployments,
            fallback=raw.fallback,
            retries=raw.retries,
            hedge_ms=raw.hedge_ms,
            canary=canary,
            shadow=shadow,
        )
        found.append(Found(sheet, row.path, route))
    return found


def _serves(
    row: Found[_Route],
    path: tuple[str | int, ...],
    name: str,
    model: str,
    models: dict[str, str],
) -> None:
    serving = [each for each, of in models.items() if of == model]
    if name not in models:
        row.fault(path, f'unknown deployment "{name}"{suggestion(name, serving)}')
    elif models[name] != model:
        row.fault(path, f'"{name}" serves "{models[name]}", not "{model}"')


def _part(row: Found[_Route], name: str, raw: _Part | None) -> Part | None:
    if raw is None:
        return None
    match = _PERCENT.fullmatch(raw.share) if isinstance(raw.share, str) else None
    try:
        ppm = money.scaled(match.group(1), _PPM_PER_PERCENT) if match else -1
    except money.MoneyError:
        ppm = -1
    if not 0 <= ppm <= money.PER_MILLION:
        row.fault((name, "share"), 'write a share of the calls in quotes, "5%" or "0.1%"')
        return None
    return Part(deployment=raw.deployment, share_ppm=ppm)
