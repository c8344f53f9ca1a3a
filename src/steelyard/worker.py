"""A worker: one gateway process, ``python -m steelyard.worker --studio DIR``.

It prints one JSON line on stdout when it serves. It ends on SIGTERM, and when its stdin closes: it
stops listening, lets the calls in flight end within ``drain_s``, seals its journal. It fails, to be
started again, when its journal can't be written any more. Two orders come on stdin, a line each:
``reload``, answered with a line on stdout, and ``retire``, for one whose successor serves already:
it ends when the last of its connections is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import secrets
import signal
import socket
import sys
from asyncio import FIRST_COMPLETED
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop
from sqlalchemy.exc import OperationalError

from steelyard import app, machines, published, reaching, stopped
from steelyard.catalogue.documents import Deployment
from steelyard.covering import Covering, open_counters
from steelyard.dispatch import breaker
from steelyard.dispatch import desk as dispatch
from steelyard.dispatch.cache import Cache, Rule
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.leasing import StoreAwayError
from steelyard.edge import body, server
from steelyard.edge.gateway import Gateway
from steelyard.edge.ports import Port, PortTakenError
from steelyard.edge.telemetry import opening
from steelyard.edge.telemetry.families import BREAKERS, Sample
from steelyard.edge.telemetry.opening import Telemetry
from steelyard.metering.journal import JournalError, JournalWriter
from steelyard.published import Published
from steelyard.settings import Settings
from steelyard.studio import Studio, StudioFaults
from steelyard.system import Chance, SystemClock
from steelyard.upstream.transport import Transport

CONNECTIONS_MORE = 3072
"""Connections, beyond the calls in flight, that may be open and idle, or refused."""

FUNDS_S = 1.0
"""How often the worker looks whether something was paid in or raised."""

CLOSE_S = 2.0
ORDER_BYTES_MAX = 1024
COLLECT_AFTER = 20_000
"""New objects that outlive their call before cycles among them are looked for."""

WRITER_BYTES = 8

EXIT_REFUSED = 2
EXIT_FAILED = 3


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The one line, JSON, that a worker prints on stdout when it serves."""

    ready: bool
    host: str
    port: int
    pid: int
    writer: str


class Reloaded(msgspec.Struct, frozen=True):
    """The line that answers ``reload``: the edition by which the worker serves from now on."""

    edition: int


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker it is, of how many, and the socket that it has."""

    number: int
    workers: int
    taken: socket.socket


def main(arguments: Sequence[str]) -> int:
    """Serve a studio until told to stop; the process's exit status."""
    parser = argparse.ArgumentParser(prog="steelyard.worker", allow_abbrev=False)
    parser.add_argument("--studio", type=Path, default=Path())
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--listen", type=int, default=None)
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    given = parser.parse_args(arguments)
    try:
        if not given.published:
            app.publish(app.load_studio(given.studio, serving=True), SystemClock())
        opened = published.read(given.studio)
        settings = opened.studio.settings.gateway
        if given.listen is None:
            port = settings.port if given.port is None else given.port
            taken = Port(settings.host, port).take()
        else:
            taken = socket.socket(fileno=given.listen)
    except (PortTakenError, StudioFaults) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_REFUSED
    _raise_files_max()
    with taken:
        workers = given.workers or settings.workers
        options = Options(number=given.number, workers=workers, taken=taken)
        return uvloop.run(run(opened, options))


async def run(opened: Published, options: Options) -> int:
    """Serve; the exit status, 0 when it was told to stop."""
    studio, clock = opened.studio, SystemClock()
    settings = studio.settings.gateway
    writer_id = f"gateway-{secrets.token_hex(WRITER_BYTES)}"
    deployments = {each.id: each for each in studio.edition.deployments}
    try:
        telemetry = _telemetry(studio, writer_id, options, deployments)
    except OSError as exc:
        sys.stderr.write(f"steelyard: the access log can't be written: {exc}\n")
        return EXIT_REFUSED
    snapshots = app.Snapshots(opened)
    writer = JournalWriter(
        studio.root / "journal",
        writer_id,
        durability=settings.durability,
        clock=clock,
        segment_bytes_max=studio.settings.journal.segment_bytes_max,
    )
    with (
        contextlib.closing(snapshots),
        contextlib.closing(telemetry),
        contextlib.closing(writer),
    ):
        desk = Desk(
            snapshots.take(),
            reaching.open_transports(studio, clock),
            writer,
            clock,
            Chance().id_bits,
            dispatch.Limits(
                total_s=settings.total_s,
                concurrency_max=settings.concurrency_max,
                queue_calls_max=settings.queue_calls_max,
                queue_s=settings.queue_s,
                on_hangup=settings.on_hangup,
                retry_percent=settings.retry_percent,
            ),
            observer=telemetry.observer,
            cache=_cache(studio),
        )
        desk.counters = open_counters(studio, desk.transports)
        telemetry.look_at(lambda: _gauges(desk, writer))
        covering = Covering(desk, writer_id)
        renewal = Renewal(desk, snapshots, opened, deployments, covering)
        aside = [
            asyncio.create_task(snapshots.watch(renewal.keys)),
            asyncio.create_task(renewal.funds()),
            asyncio.create_task(telemetry.numbers.publish()),
            asyncio.create_task(stopped.follow(desk, studio)),
        ]
        if machines.share_journals():
            every_s = studio.settings.journal.segment_s_max
            aside.append(asyncio.create_task(_turn_over(writer, every_s)))
        try:
            await covering.follow(studio)
            return await _serve(desk, studio.settings, options, telemetry, renewal, writer_id)
        except StoreAwayError:
            sys.stderr.write("steelyard: the store of shared limits can't be reached\n")
            return EXIT_FAILED
        finally:
            await covering.aclose()
            for task in aside:
                task.cancel()
            await asyncio.gather(*aside, return_exceptions=True)
            await renewal.aclose()


async def _turn_over(writer: JournalWriter, every_s: int) -> None:
    """Seal what is written, again and again, so that it can be shipped."""
    while True:
        await asyncio.sleep(every_s)
        with contextlib.suppress(JournalError):  # the next call finds out, and is refused
            writer.turn_over()


class Renewal:
    """What a worker serves by, renewed while it serves."""

    def __init__(
        self,
        desk: Desk,
        snapshots: app.Snapshots,
        opened: Published,
        deployments: dict[str, Deployment],
        covering: Covering,
    ) -> None:
        self._desk = desk
        self._snapshots = snapshots
        self._opened = opened
        self._deployments = deployments
        self._covering = covering
        self._turn = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def keys(self) -> None:
        """Serve by the keys as they are now. Raises: sqlalchemy.exc.OperationalError."""
        async with self._turn:
            self._desk.snapshot = await asyncio.to_thread(self._snapshots.renewed)

    async def funds(self) -> None:
        """Hear of what is paid in and raised, for as long as calls draw on it."""
        while True:
            await asyncio.sleep(FUNDS_S)
            if self._desk.paying is not None:
                async with self._turn:
                    with contextlib.suppress(OperationalError):
                        found = await asyncio.to_thread(self._snapshots.funded)
                        self._desk.snapshot = found

    async def reload(self) -> int:
        """Serve by what is published now; the number of its edition.

        Raises: OSError; sqlalchemy.exc.OperationalError; StoreAwayError.
        """
        async with self._turn:
            before, desk = self._opened.studio, self._desk
            self._opened = await asyncio.to_thread(published.read, before.root)
            studio = self._opened.studio
            snapshot = await asyncio.to_thread(self._snapshots.take, self._opened)
            opened = reaching.open_transports(studio, desk.clock, before)
            self._deployments.update({each.id: each for each in studio.edition.deployments})
            replaced = {name: desk.transports[name] for name in opened if name in desk.transports}
            # Ways to deployments that are gone stay: a call that began before may ask for one yet.
            desk.transports = {**desk.transports, **opened}
            desk.counters = await asyncio.to_thread(open_counters, studio, desk.transports)
            desk.snapshot = snapshot
            await self._covering.follow(studio)
        if replaced:
            task = asyncio.create_task(self._close(list(replaced.values())))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return self._opened.edition

    async def aclose(self) -> None:
        """Close every way to an upstream."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing)
        for each in self._desk.transports.values():
            await each.aclose()

    async def _close(self, transports: Sequence[Transport]) -> None:
        """Close them once no call can use them any more."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(self._desk.limits.total_s)
        for each in transports:
            await each.aclose()


async def _serve(
    desk: Desk,
    settings: Settings,
    options: Options,
    telemetry: Telemetry,
    renewal: Renewal,
    writer_id: str,
) -> int:
    gateway = settings.gateway
    host, port = options.taken.getsockname()[:2]
    limits = body.Limits(body_bytes_max=gateway.body_bytes_max, body_s=gateway.body_s)
    listen = server.Listen(
        host=host,
        port=port,
        server=gateway.server,
        header_bytes_max=gateway.header_bytes_max,
        connections_max=gateway.concurrency_max + CONNECTIONS_MORE,
        socket=options.taken,
    )
    serving = server.make(Gateway(desk, limits, telemetry), listen)
    task = asyncio.create_task(serving.serve())
    told = _Told(renewal)
    await asyncio.wait([asyncio.ensure_future(serving.ready()), task], return_when=FIRST_COMPLETED)
    _spare_collections()
    _say(Ready(ready=True, host=host, port=port, pid=os.getpid(), writer=writer_id))
    ends = [asyncio.ensure_future(each) for each in (told.stop.wait(), desk.failed.wait(), task)]
    relieved = asyncio.ensure_future(told.retire.wait())
    await asyncio.wait([*ends, relieved], return_when=FIRST_COMPLETED)
    drain_s = gateway.drain_s
    if relieved.done():
        telemetry.numbers.relieve()
        serving.stop(linger=True)
        await asyncio.wait(ends, timeout=gateway.total_s, return_when=FIRST_COMPLETED)
        drain_s = gateway.drain_s if told.stop.is_set() else gateway.total_s
    serving.stop()
    await desk.drain(drain_s)
    await asyncio.wait([task], timeout=CLOSE_S)
    return EXIT_FAILED if desk.failed.is_set() else 0


class _Told:
    """What the worker is told: by signals, and by whoever started it, on stdin."""

    def __init__(self, renewal: Renewal) -> None:
        self.stop = asyncio.Event()
        self.retire = asyncio.Event()
        self._renewal = renewal
        self._reloading: asyncio.Task[None] | None = None
        self._stdin = sys.stdin.fileno()
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop.set)
        self._loop.add_reader(self._stdin, self._hear)

    def _hear(self) -> None:
        # Whoever gives orders waits for the answer to the one before: there is one line at a time.
        line = os.read(self._stdin, ORDER_BYTES_MAX)
        if not line:
            self._loop.remove_reader(self._stdin)
            self.stop.set()
        elif line == b"retire\n":
            self.retire.set()
        elif line == b"reload\n":
            self._reloading = self._loop.create_task(self._reload())

    async def _reload(self) -> None:
        _say(Reloaded(await self._renewal.reload()))


def _say(what: Ready | Reloaded) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(what) + b"\n")


def _raise_files_max() -> None:
    """As many open files as the machine lets us have: a call holds two connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_collections() -> None:
    """Look for cycles seldom, and never among what lives as long as we do: a ninth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def _telemetry(
    opened: Studio, writer_id: str, which: Options, deployments: Mapping[str, Deployment]
) -> Telemetry:
    settings = opened.settings.telemetry
    log = settings.access_log
    options = opening.Options(
        worker=str(which.number),
        writer=writer_id,
        metrics=settings.metrics,
        customers_max=settings.metrics_customers_max,
        access_log=log if log in {"off", "stderr"} else str(opened.root / log),
        otlp_endpoint=settings.otlp_endpoint,
        otlp_interval_s=settings.otlp_interval_s,
        traces_percent=settings.traces_percent,
        items_max=settings.queue_calls_max,
        shared=opened.root / "run" / "metrics" if which.workers > 1 else None,
    )
    return Telemetry(options, deployments)


def _gauges(desk: Desk, writer: JournalWriter) -> Iterator[Sample]:
    """What is looked at only when somebody asks."""
    yield Sample("steelyard_calls_in_flight", (), [desk.in_flight])
    for line, calls in desk.places.lengths():
        yield Sample("steelyard_queue_length", (line,), [calls])
    now_us = desk.clock.monotonic_us()
    for deployment, seen in desk.router.vitals.items():
        state = BREAKERS.index(breaker.phase(seen.breaker, now_us))
        yield Sample("steelyard_breaker_state", (deployment,), [state])
    yield Sample("steelyard_journal_bytes_total", (), [writer.written_bytes])
    if desk.paying is not None:
        trips = desk.paying.cover.store.round_trips
        yield Sample("steelyard_allowances_round_trips_total", (), [trips])


def _cache(opened: Studio) -> Cache:
    rules = [
        Rule(
            models=each.models or ("*",),
            keys=each.keys or ("*",),
            ttl_s=each.ttl_s,
            bytes_max=each.bytes_max,
        )
        for each in opened.settings.cache
    ]
    return Cache(rules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
