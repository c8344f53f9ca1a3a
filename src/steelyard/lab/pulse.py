"""Pulse: what a studio does per second, by model, customer and deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from steelyard.lab import scrapes
from steelyard.lab.scrapes import Scrape, Series
from steelyard.values import money

INPUT_METERS = ("input_tokens", "cached_input_tokens", "cache_write_tokens")
OUTPUT_METERS = ("output_tokens", "reasoning_tokens")

BREAKERS = ("closed", "half open", "open")

_CALLS = "steelyard_calls_total"
_TOKENS = "steelyard_tokens_total"
_ATTEMPTS = "steelyard_attempts_total"
_FIRST = "steelyard_time_to_first_token_seconds"
_PER_TOKEN = "steelyard_time_per_output_token_seconds"  # noqa: S105 - a metric's name
_MILLISECONDS = 1000
_MICROSECONDS = 1_000_000

Change = Iterable[tuple[Series, float]]


class Sold(NamedTuple):
    """What calls were charged. Unit: pico-units of the currency."""

    customer: str
    model: str
    currency: str
    amount_pico: int


class Quantiles(msgspec.Struct, frozen=True):
    """Half of all are at most the first, 19 of 20 at most the second. Unit: milliseconds."""

    p50: float | None
    p95: float | None


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What goes through one model, or for one customer, each second.

    ``charged`` is by currency, exact decimal texts; None where nobody rates.
    """

    name: str
    calls: float
    failed: float
    input_tokens: float
    output_tokens: float
    charged: dict[str, str] | None
    first_token_ms: Quantiles
    per_token_ms: Quantiles


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment does. ``breaker`` is None where it has none; rates are per second."""

    name: str
    attempts: float
    failed: float
    in_flight: int
    breaker: str | None


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """A studio at one moment: rates over the last ``seconds``, and what is under way."""

    seconds: float
    workers: int
    memory_bytes: int
    in_flight: int
    queued: int
    dropped: int
    all: Flow
    models: tuple[Flow, ...]
    customers: tuple[Flow, ...]
    deployments: tuple[Place, ...]
    queues: dict[str, int]
    refusals: dict[str, float]


def pulse(change: Scrape, sold: Sequence[Sold] | None, seconds: float) -> Pulse:
    """The pulse of what changed in so many seconds; ``sold`` is what was charged in them."""
    every = list(change.items())
    gauges = {
        name: int(scrapes.total(f"steelyard_{name}", every))
        for name in ("worker_info", "memory_bytes", "calls_in_flight", "queue_length")
    }

    def flows(label: str, of: Callable[[Sold], str]) -> tuple[Flow, ...]:
        found = {
            name: group
            for name, group in scrapes.grouped(change, label)
            if any(series.name == _CALLS for series, _ in group)
        }
        names = sorted({*found, *(of(each) for each in sold or ())})
        return tuple(
            _flow(name, found.get(name, []), _sold(sold, lambda each: of(each) == name), seconds)  # noqa: B023 - called at once
            for name in names
        )

    return Pulse(
        seconds=round(seconds, 3),
        workers=gauges["worker_info"],
        memory_bytes=gauges["memory_bytes"],
        in_flight=gauges["calls_in_flight"],
        queued=gauges["queue_length"],
        dropped=int(scrapes.total("steelyard_telemetry_dropped_total", every)),
        all=_flow("all", every, sold, seconds),
        models=flows("model", lambda each: each.model),
        customers=flows("customer", lambda each: each.customer),
        deployments=tuple(
            _place(name, group, seconds) for name, group in scrapes.grouped(change, "deployment")
        ),
        queues={
            line: int(scrapes.total("steelyard_queue_length", group))
            for line, group in scrapes.grouped(change, "line")
        },
        refusals={
            code: rate
            for code, group in scrapes.grouped(change, "code")
            if (rate := _rate(scrapes.total("steelyard_refusals_total", group), seconds))
        },
    )


def _flow(name: str, change: Change, sold: Sequence[Sold] | None, seconds: float) -> Flow:
    series = list(change)

    def tokens(meters: Sequence[str]) -> float:
        counts = (scrapes.total(_TOKENS, series, meter=meter) for meter in meters)
        return _rate(sum(counts), seconds)

    return Flow(
        name=name,
        calls=_rate(scrapes.total(_CALLS, series), seconds),
        failed=_rate(scrapes.total(_CALLS, series, outcome="failed"), seconds),
        input_tokens=tokens(INPUT_METERS),
        output_tokens=tokens(OUTPUT_METERS),
        charged=None if sold is None else _charged(sold, seconds),
        first_token_ms=_quantiles(_FIRST, series),
        per_token_ms=_quantiles(_PER_TOKEN, series),
    )


def _place(name: str, change: Change, seconds: float) -> Place:
    series = list(change)
    breakers = [int(value) for each, value in series if each.name == "steelyard_breaker_state"]
    return Place(
        name=name,
        attempts=_rate(scrapes.total(_ATTEMPTS, series), seconds),
        failed=_rate(scrapes.total(_ATTEMPTS, series, outcome="failed"), seconds),
        in_flight=int(scrapes.total("steelyard_attempts_in_flight", series)),
        # Each worker has a breaker of its own: the worst is what to look at.
        breaker=BREAKERS[max(breakers)] if breakers else None,
    )


def _quantiles(name: str, change: Change) -> Quantiles:
    found = scrapes.histogram(name, change)
    parts = (found.quantile(0.5), found.quantile(0.95))
    p50, p95 = (None if part is None else round(part * _MILLISECONDS, 3) for part in parts)
    return Quantiles(p50, p95)


def _sold(sold: Sequence[Sold] | None, wanted: Callable[[Sold], bool]) -> list[Sold] | None:
    return None if sold is None else [each for each in sold if wanted(each)]


def _charged(sold: Sequence[Sold], seconds: float) -> dict[str, str]:
    """What was charged each second, by currency: an exact sum, divided once, half to even."""
    sums: dict[str, int] = {}
    for each in sold:
        sums[each.currency] = sums.get(each.currency, 0) + each.amount_pico
    us = max(1, round(seconds * _MICROSECONDS))
    return {
        currency: money.exact(money.divide_half_even(amount_pico * _MICROSECONDS, us))
        for currency, amount_pico in sorted(sums.items())
    }


def _rate(count: float, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0
