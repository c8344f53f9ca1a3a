"""Opening: what of telemetry a worker has, put together and put away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from steelyard import __version__
from steelyard.catalogue.documents import Deployment
from steelyard.dispatch.observing import Observer
from steelyard.edge.telemetry import watching
from steelyard.edge.telemetry.access import AccessLog
from steelyard.edge.telemetry.families import Sample
from steelyard.edge.telemetry.page import Audience, MetricsPage, Numbers
from steelyard.edge.telemetry.tallies import Tallies

Reading = Callable[[], Iterable[Sample]]
"""Something that is looked at when the metrics are, and counts nothing by itself."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. ``access_log`` is ``off``, ``stderr`` or a path.

    ``shared`` is the folder where workers of one port leave their numbers for each other; None for
    a worker that is alone.
    """

    worker: str
    writer: str
    metrics: Audience
    customers_max: int
    access_log: str
    otlp_endpoint: str | None
    otlp_interval_s: int
    traces_percent: int
    items_max: int
    shared: Path | None


class Telemetry:
    """How calls are watched: ``observer`` for dispatch, ``page`` for the gateway.

    Raises: OSError when the access log can't be written.
    """

    def __init__(self, options: Options, deployments: Mapping[str, Deployment]) -> None:
        observers: list[Observer] = []
        self._tallies = Tallies(options.customers_max)
        self._sinks: dict[str, _Sink] = {}
        self._readings: list[Reading] = [self._own]
        if options.metrics != "off":
            observers.append(self._tallies)
            self._readings.append(self._tallies.samples)
        if options.access_log != "off":
            path = None if options.access_log == "stderr" else Path(options.access_log)
            log = AccessLog(path, options.items_max)
            observers.append(log)
            self._sinks["access_log"] = log
        if options.otlp_endpoint is not None:
            from steelyard.edge.telemetry import otlp  # noqa: PLC0415 - half a second, seldom wanted

            to = otlp.Destination(
                endpoint=options.otlp_endpoint,
                writer=options.writer,
                interval_s=options.otlp_interval_s,
                items_max=options.items_max,
            )
            exporter = otlp.Exporter(to, deployments)
            observers.append(exporter)
            self._sinks["otlp"] = exporter
        self.observer = watching.together(observers)
        self.traces_percent = None if options.otlp_endpoint is None else options.traces_percent
        shared = None if options.metrics == "off" else options.shared
        self.numbers = Numbers(options.worker, self.samples, shared)
        self.page = MetricsPage(self.numbers, options.metrics)

    def look_at(self, reading: Reading) -> None:
        """Show this too."""
        self._readings.append(reading)

    def samples(self) -> list[Sample]:
        """All that there is to see of this worker now."""
        return [sample for reading in self._readings for sample in reading()]

    def close(self) -> None:
        """Send and write what is left."""
        for sink in self._sinks.values():
            sink.close()
        self.numbers.withdraw()

    def _own(self) -> Iterable[Sample]:
        yield Sample("steelyard_worker_info", (__version__,), [1])
        yield Sample("steelyard_memory_bytes", (), [_memory_bytes()])
        for name, sink in self._sinks.items():
            yield Sample("steelyard_telemetry_dropped_total", (name,), [sink.dropped])


class _Sink(Protocol):
    @property
    def dropped(self) -> int: ...

    def close(self) -> None: ...


def _memory_bytes() -> int:
    """The resident memory of this process; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGESIZE")
