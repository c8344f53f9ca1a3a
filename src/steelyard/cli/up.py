"""``steelyard up``: gateway, engine, clerk and console, each in its own process, supervised."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import click
import msgspec

from steelyard import app, machines, orders, published, reaching
from steelyard.cli import notifying
from steelyard.cli.booked import FAULTS
from steelyard.cli.failing import fail
from steelyard.cli.ordered import sentence
from steelyard.edge.ports import Port, PortTakenError
from steelyard.orders import AlreadyUpError, Order, Outcome
from steelyard.settings import WORKERS_MAX
from steelyard.studio import Studio, StudioFaults
from steelyard.supervisor import Program, ProgramFailedError, Started, Supervisor
from steelyard.system import SystemClock
from steelyard.upstream import engine

Role = Literal["gateway", "clerk", "console", "engine"]
ROLES: tuple[Role, ...] = ("gateway", "clerk", "console", "engine")
UNASKED = frozenset[Role](("gateway", "clerk", "engine"))
"""What runs where no role is named."""

_KEY_BYTES = 32

STOP_S_MORE = 10.0
"""How long a worker may take to end, beyond the time that its calls have."""


@click.command("up")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Listen here, not where the studio's file says."
)
@click.option(
    "--workers",
    type=click.IntRange(1, WORKERS_MAX),
    help="Worker processes that share the port, not as many as the studio's file says.",
)
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    help="Run this part of the studio here; may be given again. All but the console, without it.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line for a machine when it serves."
)
@click.pass_obj
def command(
    folder: Path, port: int | None, workers: int | None, roles: tuple[Role, ...], as_json: bool
) -> None:
    """Serve the studio until Ctrl-C or SIGTERM: gateway, engine and clerk.

    `steelyard reload` has it read the studio's files anew, and so does SIGHUP; `steelyard restart`
    starts new workers before the old ones end.
    """
    given = frozenset(roles) or UNASKED
    opened = app.load_studio(folder, serving="gateway" in given)
    if "engine" in given and "gateway" not in given and not os.environ.get(engine.KEY_VARIABLE):
        fail(
            f"{engine.KEY_VARIABLE} is not set: gateways that are started apart from engines give "
            f"them this key; any secret of {engine.KEY_CHARS_MIN} characters or more, the same on "
            "each machine"
        )
    needed = programs(opened, given, port, workers)
    if not needed:
        fail(
            "this studio has nothing to run in that role; an engine runs where a deployment has one"
        )

    def notice(what: str) -> None:
        click.echo(f"steelyard: {what}", err=True)

    def up(started: Sequence[Started]) -> None:
        notifying.tell(notifying.READY)
        gateway, console = _address(started, "gateway"), _address(started, "console")
        url = gateway and f"{gateway}/v1"
        if as_json:
            pids = {each.name: each.process.pid for each in started}
            said = {"ready": True, "url": url, "console": console, "pids": pids}
            click.echo(msgspec.json.encode(said))
        else:
            _welcome(opened, url, console, started)

    async def run() -> None:
        supervisor = Supervisor(needed, notice)
        told = [
            asyncio.create_task(each) for each in (notifying.stay_awake(), _say_stop(supervisor))
        ]
        loop = asyncio.get_running_loop()
        if "gateway" not in given:
            nothing = "nothing of the studio's files is read anew here; only gateways do that"
            loop.add_signal_handler(signal.SIGHUP, lambda: notice(nothing))
            await supervisor.run(up)
        else:
            carry = _Orders(opened, supervisor)
            loop.add_signal_handler(signal.SIGHUP, lambda: carry.hang_up(notice))
            async with orders.taking(opened.root, carry.out):
                await supervisor.run(up)
        for each in told:
            each.cancel()

    try:
        if "gateway" in given:
            app.publish(opened, SystemClock())
        asyncio.run(run())
    except (AlreadyUpError, PortTakenError, ProgramFailedError, *FAULTS) as exc:
        fail(str(exc))
    if not as_json:
        click.echo("stopped; every call is in the journal")


def programs(
    opened: Studio, roles: Collection[Role], port: int | None, workers: int | None
) -> list[Program]:
    """What a studio needs running in these roles; it stops in the reverse order, the gateway first.

    Each engine's key is made here and lives as long as this process, unless the environment has it.
    """
    key = os.environ.get(engine.KEY_VARIABLE) or secrets.token_urlsafe(_KEY_BYTES)
    command = (sys.executable, "-m", "steelyard", "--studio", str(opened.root))
    started: list[Program] = []
    if "engine" in roles:
        alone = engine.environment(key, engine.harmless(os.environ))
        started += [
            Program(f"engine {each.id}", _engine(opened, each.id, each.model), alone)
            for each in opened.edition.deployments
            if each.kind == "engine"
        ]
    if "clerk" in roles:
        started.append(Program("clerk", (*command, "clerk", "--supervised"), os.environ))
    if "console" in roles:
        place = opened.settings.console
        shown = Port(place.host, place.port)
        argv = (*command, "console", "--supervised")
        started.append(Program("console", argv, os.environ, port=shown))
    if "gateway" in roles:
        if machines.share_journals():
            started.append(Program("shipper", (*command, "ship", "--supervised"), os.environ))
        started += _gateway(opened, port, workers, engine.environment(key, os.environ))
    return started


def _gateway(
    opened: Studio, port: int | None, workers: int | None, env: Mapping[str, str]
) -> list[Program]:
    settings = opened.settings.gateway
    workers = workers or settings.workers
    shared = Port(settings.host, settings.port if port is None else port)
    worker = (sys.executable, "-m", "steelyard.worker", "--studio", str(opened.root), "--published")
    return [
        Program(
            "gateway" if workers == 1 else f"gateway {number}",
            (*worker, "--number", str(number), "--workers", str(workers)),
            env,
            port=shared,
            drain_s=settings.drain_s + STOP_S_MORE,
            turns=True,
            retire_s=settings.total_s + STOP_S_MORE,
        )
        for number in range(1, workers + 1)
    ]


async def _say_stop(supervisor: Supervisor) -> None:
    await supervisor.stopping.wait()
    notifying.stopping(supervisor.stop_s)


class _Orders:
    """Carries out what a running studio is told, one order after the other."""

    def __init__(self, opened: Studio, supervisor: Supervisor) -> None:
        self._root = opened.root
        self._started = opened.settings
        """What all of it was started with."""
        self._working = opened.settings
        """What the workers were started with."""
        self._supervisor = supervisor
        self._turn = asyncio.Lock()
        self._signalled: asyncio.Task[None] | None = None

    def hang_up(self, notice: Callable[[str], None]) -> None:
        """Reload for a signal, whose sender gets no answer: standard error has it."""

        async def reload() -> None:
            outcome = await self.out(Order("reload"))
            for each in outcome.faults:
                notice(each)
            notice(sentence(outcome))

        self._signalled = asyncio.create_task(reload())

    async def out(self, order: Order) -> Outcome:
        """Carry out one order."""
        async with self._turn:
            notifying.reloading()
            try:
                fresh = await asyncio.to_thread(app.load_studio, self._root, serving=True)
                number = await asyncio.to_thread(app.publish, fresh, SystemClock())
                if order.verb == "restart":
                    renewed = len(await self._supervisor.restart())
                    self._working = fresh.settings
                else:
                    answers = await self._supervisor.reload()
                    renewed = sum(answer.get("edition") == number for answer in answers)
            except StudioFaults as exc:
                return Outcome(faults=tuple(map(str, exc.faults)))
            except (ProgramFailedError, *FAULTS) as exc:
                return Outcome(faults=(str(exc),))
            finally:
                notifying.tell(notifying.READY)
            return Outcome(
                edition=number,
                workers=renewed,
                at_restart=published.at_restart(self._working, fresh.settings),
                at_start=published.at_start(self._started, fresh.settings),
                ending=self._supervisor.retiring,
            )


def _engine(opened: Studio, deployment: str, model: str) -> Sequence[str]:
    settings, port = opened.settings.engine, reaching.engine_port(opened, deployment)
    return engine.command(
        engine.EngineOptions(
            socket=None if port else str(reaching.engine_socket(opened, deployment).absolute()),
            port=port,
            host=settings.host,
            model=model,
            threads=settings.threads,
            slots=settings.slots,
            context_tokens=settings.context_tokens,
        )
    )


def _address(started: Sequence[Started], name: str) -> str | None:
    """Where a program of this name listens; None where none runs."""
    found = next((each.ready for each in started if each.name.startswith(name)), None)
    return None if found is None else f"http://{found['host']}:{found['port']}"


def _welcome(
    opened: Studio, url: str | None, console: str | None, started: Sequence[Started]
) -> None:
    processes = ", ".join(f"{each.name} (pid {each.process.pid})" for each in started)
    if console is not None:
        click.echo(f"the console is at {console}/")
    if url is None:
        click.echo(f"{opened.settings.studio.name} runs here: {processes}")
        return
    click.echo(f"{opened.settings.studio.name} serves at {url}")
    served: Mapping[str, str] = {each.model: each.id for each in opened.edition.deployments}
    for model, deployment in served.items():
        click.echo(f"  {model}  on {deployment}")
    click.echo(f"  {processes}")
    click.echo("Callers need a key: `steelyard keys create CUSTOMER`. Ctrl-C stops everything.")
