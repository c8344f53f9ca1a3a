"""Tallies: what a worker counts while it serves, at about two microseconds a call."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from steelyard.dispatch.observing import Ended, Landed, Refused
from steelyard.dispatch.stages import Attempt
from steelyard.edge.telemetry.families import FAMILIES, Sample
from steelyard.values.meters import METERS
from steelyard.values.usage import UsageRecord

OTHER = "other"
"""The label of every customer after the most that are named."""

_DURATION = "steelyard_call_duration_seconds"
_FIRST_TOKEN = "steelyard_time_to_first_token_seconds"  # noqa: S105 - a metric's name
_PER_TOKEN = "steelyard_time_per_output_token_seconds"  # noqa: S105 - the same
_DURATION_US: Final = FAMILIES[_DURATION].bounds_us
_FIRST_TOKEN_US: Final = FAMILIES[_FIRST_TOKEN].bounds_us
_PER_TOKEN_US: Final = FAMILIES[_PER_TOKEN].bounds_us
_TOKEN_METERS: Final = frozenset(name for name, meter in METERS.items() if meter.unit == "token")


class _Series:
    """The numbers under one model, deployment and customer."""

    __slots__ = ("cache_hits", "calls", "durations", "firsts", "per_token", "tokens")

    def __init__(self) -> None:
        self.calls: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.tokens: defaultdict[str, int] = defaultdict(int)
        self.cache_hits = 0
        self.durations = [0] * (len(_DURATION_US) + 2)
        self.firsts = [0] * (len(_FIRST_TOKEN_US) + 2)
        self.per_token = [0] * (len(_PER_TOKEN_US) + 2)


class Tallies:
    """Counts calls. It names ``customers_max`` customers, those that come first."""

    def __init__(self, customers_max: int) -> None:
        self._customers_max = customers_max
        self._customers: set[str] = set()
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._refusals: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._attempts: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        self._in_flight: defaultdict[tuple[str, str], int] = defaultdict(int)

    def refused(self, seen: Refused) -> None:
        """Count a refusal."""
        customer = "" if seen.customer is None else self._named(seen.customer)
        self._refusals[seen.refusal.code, customer] += 1

    def began(self, attempt: Attempt) -> None:
        """Count an attempt as under way."""
        self._in_flight[attempt.deployment.model, attempt.deployment.id] += 1

    def first_byte(self, attempt: Attempt, first_token_us: int) -> None:
        """Count the time to a first token as soon as it is there."""
        if attempt.shadow_of is None:  # nobody waits for a copy
            deployment = attempt.deployment
            series = self._of(deployment.model, deployment.id, attempt.key.customer)
            _add(series.firsts, _FIRST_TOKEN_US, first_token_us)

    def landed(self, seen: Landed) -> None:
        """Count the end of an attempt."""
        model, deployment = seen.attempt.deployment.model, seen.attempt.deployment.id
        self._in_flight[model, deployment] -= 1
        self._attempts[model, deployment, seen.outcome, seen.error or ""] += 1

    def ended(self, seen: Ended) -> None:
        """Count a call and its tokens."""
        record = seen.record
        series = self._of(record.model, record.deployment, record.customer)
        series.calls[record.outcome, record.error or ""] += 1
        for meter, units in record.meters.items():
            if meter in _TOKEN_METERS:
                series.tokens[meter] += units
            elif meter == "cache_hits":
                series.cache_hits += units
        if record.duration_us is not None:
            _add(series.durations, _DURATION_US, record.duration_us)
        if (per_token_us := per_output_token_us(record)) is not None:
            _add(series.per_token, _PER_TOKEN_US, per_token_us)

    def samples(self) -> Iterator[Sample]:
        """All that was counted, copied."""
        for key, series in self._series.items():
            for end, count in series.calls.items():
                yield Sample("steelyard_calls_total", (*key, *end), [count])
            for meter, count in series.tokens.items():
                yield Sample("steelyard_tokens_total", (*key, meter), [count])
            if series.cache_hits:
                yield Sample("steelyard_cache_hits_total", key, [series.cache_hits])
            for name, histogram in (
                (_DURATION, series.durations),
                (_FIRST_TOKEN, series.firsts),
                (_PER_TOKEN, series.per_token),
            ):
                if any(histogram):
                    yield Sample(name, key, [*histogram])
        for name, counts in (
            ("steelyard_refusals_total", self._refusals),
            ("steelyard_attempts_total", self._attempts),
            ("steelyard_attempts_in_flight", self._in_flight),
        ):
            for labels, count in counts.items():
                yield Sample(name, labels, [count])

    def _of(self, model: str, deployment: str, customer: str) -> _Series:
        series = self._series.get((model, deployment, customer))
        if series is not None:
            return series
        # A customer that is not named has no entry of its own, or there would be no bound.
        key = (model, deployment, self._named(customer))
        return self._series.setdefault(key, _Series())

    def _named(self, customer: str) -> str:
        if customer in self._customers:
            return customer
        if len(self._customers) >= self._customers_max:
            return OTHER
        self._customers.add(customer)
        return customer


def per_output_token_us(record: UsageRecord) -> int | None:
    """The time for each token after the first of a completed stream; None where nobody can say."""
    if record.first_token_us is None or record.duration_us is None or record.outcome != "completed":
        return None
    tokens = record.meters.get("output_tokens", 0) + record.meters.get("reasoning_tokens", 0)
    return (record.duration_us - record.first_token_us) // (tokens - 1) if tokens > 1 else None


def _add(histogram: list[int], bounds_us: tuple[int, ...], us: int) -> None:
    histogram[bisect_left(bounds_us, us)] += 1
    histogram[-1] += us
