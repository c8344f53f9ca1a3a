"""``steelyard up``: gateway, engine and clerk, each in its own process, supervised."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from steelyard import app, supervisor
from steelyard.studio import Studio
from steelyard.supervisor import Program, ProgramFailedError, Started
from steelyard.upstream import engine

_KEY_BYTES = 32


@click.command("up")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Listen here, not where the studio's file says."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line for a machine when it serves."
)
@click.pass_obj
def command(folder: Path, port: int | None, as_json: bool) -> None:
    """Serve the studio until Ctrl-C or SIGTERM: gateway, engine and clerk."""
    opened = app.load_studio(folder, serving=True)

    def up(started: Sequence[Started]) -> None:
        gateway = next(each for each in started if each.name.startswith("gateway"))
        url = f"http://{gateway.ready['host']}:{gateway.ready['port']}"
        if as_json:
            pids = {each.name: each.process.pid for each in started}
            click.echo(msgspec.json.encode({"ready": True, "url": f"{url}/v1", "pids": pids}))
        else:
            _welcome(opened, url, started)

    def notice(what: str) -> None:
        click.echo(f"steelyard: {what}", err=True)

    try:
        asyncio.run(supervisor.supervise(programs(opened, port), notice=notice, up=up))
    except ProgramFailedError as exc:
        click.echo(f"steelyard: {exc}", err=True)
        raise SystemExit(1) from exc
    if not as_json:
        click.echo("stopped; every call is in the journal")


def programs(opened: Studio, port: int | None) -> list[Program]:
    """What a studio needs running; it stops in the reverse order, the gateway first.

    Each engine's key is made here and lives as long as this process.
    """
    key = secrets.token_urlsafe(_KEY_BYTES)
    env = engine.environment(key, os.environ)
    alone = engine.environment(key, engine.harmless(os.environ))
    folder = str(opened.root)
    engines = [each for each in opened.edition.deployments if each.kind == "engine"]
    started = [
        Program(f"engine {each.id}", _engine(opened, each.id, each.model), alone)
        for each in engines
    ]
    clerk = (sys.executable, "-m", "steelyard", "--studio", folder, "clerk", "--supervised")
    started.append(Program("clerk", clerk, os.environ))
    workers = opened.settings.gateway.workers
    chosen = opened.settings.gateway.port if port is None else port
    for number in range(workers):
        options = ("--studio", folder, "--port", str(chosen), "--number", str(number + 1))
        argv = (sys.executable, "-m", "steelyard.worker", *options)
        name = "gateway" if workers == 1 else f"gateway {number + 1}"
        started.append(Program(name, argv, env))
    return started


def _engine(opened: Studio, deployment: str, model: str) -> Sequence[str]:
    settings = opened.settings.engine
    return engine.command(
        engine.EngineOptions(
            socket=str(app.engine_socket(opened, deployment).absolute()),
            model=model,
            threads=settings.threads,
            slots=settings.slots,
            context_tokens=settings.context_tokens,
        )
    )


def _welcome(opened: Studio, url: str, started: Sequence[Started]) -> None:
    click.echo(f"{opened.settings.studio.name} serves at {url}/v1")
    served: Mapping[str, str] = {each.model: each.id for each in opened.edition.deployments}
    for model, deployment in served.items():
        click.echo(f"  {model}  on {deployment}")
    click.echo("  " + ", ".join(f"{each.name} (pid {each.process.pid})" for each in started))
    click.echo("Callers need a key: `steelyard keys create CUSTOMER`. Ctrl-C stops everything.")
