"""Scrapes: what gateways' metrics said at two moments, and what changed in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
from prometheus_client.parser import text_string_to_metric_families

_BUCKET = "_bucket"
_COUNTED = ("_total", "_bucket", "_sum", "_count")


class Series(NamedTuple):
    """One number's name and labels; ``source`` is the gateway that told it."""

    source: str
    name: str
    labels: frozenset[tuple[str, str]]

    def label(self, name: str) -> str:
        """A label's value; an empty text without it."""
        return next((value for key, value in self.labels if key == name), "")


Scrape = Mapping[Series, float]


class NotMetricsError(ValueError):
    """What was read is not in Prometheus' format."""


def read(source: str, text: str) -> Scrape:
    """All numbers of one gateway. Raises: NotMetricsError."""
    try:
        return {
            Series(source, sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    except ValueError as exc:
        msg = f"what {source} answers is not in Prometheus' format"
        raise NotMetricsError(msg) from exc


def changed(before: Scrape, after: Scrape) -> Scrape:
    """How much was counted in between; a gauge as it is now.

    A worker that began anew counts from nothing, so what it has is what it counted.
    """
    found: dict[Series, float] = {}
    for series, value in after.items():
        old = before.get(series, 0.0) if series.name.endswith(_COUNTED) else 0.0
        found[series] = value - old if value >= old else value
    return found


class Histogram(msgspec.Struct, frozen=True):
    """Counts below rising bounds, the last without one, each including those before it."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def quantile(self, part: float) -> float | None:
        """The value below which a part of all lies, linear within a bucket; None when empty."""
        total = self.counts[-1] if self.counts else 0
        if not total:
            return None
        wanted = part * total
        below, low = 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= wanted:
                if bound == float("inf"):
                    return low
                within = (wanted - below) / (count - below) if count > below else 0.0
                return low + (bound - low) * within
            below, low = count, bound
        return low


def histogram(name: str, change: Iterable[tuple[Series, float]]) -> Histogram:
    """A metric's histogram, over all series that are given."""
    counts: dict[float, float] = {}
    for series, value in change:
        if series.name == name + _BUCKET:
            bound = float(series.label("le"))
            counts[bound] = counts.get(bound, 0.0) + value
    bounds = tuple(sorted(counts))
    return Histogram(bounds, tuple(counts[bound] for bound in bounds))


def total(name: str, change: Iterable[tuple[Series, float]], **labels: str) -> float:
    """The sum of a metric over the series that have these labels."""
    wanted = set(labels.items())
    return sum(value for series, value in change if series.name == name and wanted <= series.labels)


def grouped(change: Scrape, label: str) -> Iterator[tuple[str, list[tuple[Series, float]]]]:
    """The series that have a label, by its value, in order."""
    groups: dict[str, list[tuple[Series, float]]] = {}
    for series, value in change.items():
        if name := series.label(label):
            groups.setdefault(name, []).append((series, value))
    yield from sorted(groups.items())


def merged(found: Iterable[Scrape]) -> Scrape:
    """The numbers of several gateways, beside each other."""
    every: dict[Series, float] = {}
    for each in found:
        every |= each
    return every
