"""A worker: one gateway process, ``python -m steelyard.worker --studio DIR``.

It prints one JSON line on stdout when it serves. It ends on SIGTERM, and when its stdin closes: it
stops listening, lets the calls in flight end within DRAIN_S, seals its journal. It fails, to be
started again, when its journal can't be written any more.
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
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import msgspec
import uvloop

from steelyard import app
from steelyard.dispatch import breaker
from steelyard.dispatch import desk as dispatch
from steelyard.dispatch.cache import Cache, Rule
from steelyard.dispatch.desk import Desk
from steelyard.edge import body, server
from steelyard.edge.gateway import Gateway
from steelyard.edge.telemetry import opening
from steelyard.edge.telemetry.families import BREAKERS, Sample
from steelyard.edge.telemetry.opening import Telemetry
from steelyard.metering.journal import JournalWriter
from steelyard.settings import GatewaySettings
from steelyard.studio import Studio, StudioFaults

DRAIN_S = 20.0
"""How long calls in flight may take once the worker was told to end."""

RENEW_S = 0.5
"""How often the worker looks for keys that were made or revoked, off the calls' way."""

CONNECTIONS_MORE = 3072
"""Connections, beyond the calls in flight, that may be open and idle, or refused."""

CLOSE_S = 2.0
LISTENING_S = 10.0
LOOK_S = 0.01
CALL_ID_BITS = 74
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


def main(arguments: Sequence[str]) -> int:
    """Serve a studio until told to stop; the process's exit status."""
    parser = argparse.ArgumentParser(prog="steelyard.worker", allow_abbrev=False)
    parser.add_argument("--studio", type=Path, default=Path())
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--number", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        opened = app.load_studio(given.studio, serving=True)
    except StudioFaults as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_REFUSED
    _raise_files_max()
    return uvloop.run(run(opened, given.port, given.number))


async def run(opened: Studio, port: int | None, number: int) -> int:
    """Serve; the exit status, 0 when it was told to stop."""
    settings, clock = opened.settings.gateway, app.SystemClock()
    writer_id = f"gateway-{secrets.token_hex(WRITER_BYTES)}"
    try:
        telemetry = _telemetry(opened, writer_id, number)
    except OSError as exc:
        sys.stderr.write(f"steelyard: the access log can't be written: {exc}\n")
        return EXIT_REFUSED
    snapshots = app.Snapshots(opened, clock)
    writer = JournalWriter(
        opened.root / "journal",
        writer_id,
        durability=settings.durability,
        clock=clock,
        segment_bytes_max=opened.settings.journal.segment_bytes_max,
    )
    with (
        contextlib.closing(snapshots),
        contextlib.closing(telemetry),
        contextlib.closing(writer),
    ):
        transports = app.open_transports(opened, clock)
        desk = Desk(
            snapshots.take(),
            transports,
            writer,
            clock,
            lambda: secrets.randbits(CALL_ID_BITS),
            dispatch.Limits(
                total_s=settings.total_s,
                concurrency_max=settings.concurrency_max,
                queue_calls_max=settings.queue_calls_max,
                queue_s=settings.queue_s,
                on_hangup=settings.on_hangup,
                retry_percent=settings.retry_percent,
            ),
            observer=telemetry.observer,
            cache=_cache(opened),
        )
        telemetry.look_at(lambda: _gauges(desk, writer))
        aside = (
            asyncio.create_task(_renew(desk, snapshots)),
            asyncio.create_task(telemetry.numbers.publish()),
        )
        try:
            chosen = settings.port if port is None else port
            return await _serve(desk, settings, chosen, writer, telemetry)
        finally:
            for task in aside:
                task.cancel()
            await asyncio.gather(*aside, return_exceptions=True)
            for each in transports.values():
                await each.aclose()


async def _serve(
    desk: Desk,
    settings: GatewaySettings,
    port: int,
    writer: JournalWriter,
    telemetry: Telemetry,
) -> int:
    with _port(settings.host, port) as taken:
        limits = body.Limits(body_bytes_max=settings.body_bytes_max, body_s=settings.body_s)
        listen = server.Listen(
            host=settings.host,
            port=taken,
            server=settings.server,
            header_bytes_max=settings.header_bytes_max,
            connections_max=settings.concurrency_max + CONNECTIONS_MORE,
        )
        serving = server.make(Gateway(desk, limits, telemetry), listen)
        task = asyncio.create_task(serving.serve())
        stop = asyncio.Event()
        _stop_on(stop)
        await _listening(settings.host, taken)
    _spare_collections()
    ready = Ready(
        ready=True, host=settings.host, port=taken, pid=os.getpid(), writer=writer.writer_id
    )
    os.write(sys.stdout.fileno(), msgspec.json.encode(ready) + b"\n")
    ends = [asyncio.ensure_future(each) for each in (stop.wait(), desk.failed.wait(), task)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    serving.stop()
    await desk.drain(DRAIN_S)
    await asyncio.wait([task], timeout=CLOSE_S)
    return EXIT_FAILED if desk.failed.is_set() else 0


def _raise_files_max() -> None:
    """As many open files as the machine lets us have: a call holds two connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_collections() -> None:
    """Look for cycles seldom, and never among what lives as long as we do: a ninth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def _renew(desk: Desk, snapshots: app.Snapshots) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        if (renewed := await asyncio.to_thread(snapshots.renewed)) is not None:
            desk.snapshot = renewed


def _telemetry(opened: Studio, writer_id: str, number: int) -> Telemetry:
    settings = opened.settings.telemetry
    log = settings.access_log
    options = opening.Options(
        worker=str(number),
        writer=writer_id,
        metrics=settings.metrics,
        customers_max=settings.metrics_customers_max,
        access_log=log if log in {"off", "stderr"} else str(opened.root / log),
        otlp_endpoint=settings.otlp_endpoint,
        otlp_interval_s=settings.otlp_interval_s,
        traces_percent=settings.traces_percent,
        items_max=settings.queue_calls_max,
        shared=opened.root / "run" / "metrics" if opened.settings.gateway.workers > 1 else None,
    )
    return Telemetry(options, {each.id: each for each in opened.edition.deployments})


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


@contextlib.contextmanager
def _port(host: str, port: int) -> Generator[int]:
    """A port that is ours until the server has it too: the one wanted, or any for 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
        yield holder.getsockname()[1]


async def _listening(host: str, port: int) -> None:
    async with asyncio.timeout(LISTENING_S):
        while True:
            try:
                _, stream = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(LOOK_S)
            else:
                stream.close()
                return


def _stop_on(stop: asyncio.Event) -> None:
    """Stop on SIGTERM, SIGINT, and when whoever started us is gone."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stdin = sys.stdin.fileno()

    def look() -> None:
        if not os.read(stdin, 1024):
            loop.remove_reader(stdin)
            stop.set()

    loop.add_reader(stdin, look)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
