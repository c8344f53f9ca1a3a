"""Exposition: samples as Prometheus reads them.

Source: Prometheus' text exposition format, version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from steelyard.edge.telemetry.families import FAMILIES, Family, Sample

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECOND_US = 1_000_000
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def text(workers: Mapping[str, Iterable[Sample]]) -> bytes:
    """The samples of some workers, each metric's together."""
    lines: dict[str, list[str]] = {}
    for worker, samples in workers.items():
        for sample in samples:
            family = FAMILIES.get(sample.family)
            if family is not None:
                found = lines.setdefault(sample.family, [])
                found.extend(_lines(sample, family, worker))
    parts: list[str] = []
    for name in FAMILIES:
        if name in lines:
            family = FAMILIES[name]
            parts.append(f"# HELP {name} {family.meaning}\n# TYPE {name} {family.kind}\n")
            parts.extend(lines[name])
    return "".join(parts).encode()


def _lines(sample: Sample, family: Family, worker: str) -> Iterator[str]:
    names = ("worker", *family.labels)
    written = [
        f'{name}="{value.translate(_ESCAPES)}"'
        for name, value in zip(names, (worker, *sample.labels), strict=True)
    ]
    labels = ",".join(written)
    if family.kind != "histogram":
        yield f"{sample.family}{{{labels}}} {sample.values[0]}\n"
        return
    *counts, sum_us = sample.values
    total = 0
    for bound_us, count in zip((*family.bounds_us, None), counts, strict=True):
        total += count
        le = "+Inf" if bound_us is None else f"{bound_us / _SECOND_US:g}"
        yield f'{sample.family}_bucket{{{labels},le="{le}"}} {total}\n'
    yield f"{sample.family}_sum{{{labels}}} {sum_us / _SECOND_US:.6f}\n"
    yield f"{sample.family}_count{{{labels}}} {total}\n"
