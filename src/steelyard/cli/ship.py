"""``steelyard ship``: what this machine's journal has sealed goes into the object store."""

from __future__ import annotations

import threading
from pathlib import Path

import click
import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from steelyard import app, machines
from steelyard.clerk.run import RECOVER_EVERY_POLLS
from steelyard.clerk.shipping import ObjectsError, Sent
from steelyard.cli import watching
from steelyard.cli.booked import FAULTS
from steelyard.cli.failing import fail
from steelyard.covering import Keeping
from steelyard.machines import Shared
from steelyard.studio import Studio
from steelyard.system import SystemClock

AWAY_S_MAX = 10.0
"""How long is waited at most before what was away is tried again."""


@click.command("ship")
@click.option("--once", is_flag=True, help="Ship what is sealed and end.")
@click.option("--json", "as_json", is_flag=True, help="Print lines for a machine.")
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input closes.")
@click.pass_obj
def command(folder: Path, *, once: bool, as_json: bool, supervised: bool) -> None:
    """Ship this machine's journal to the object store, for the clerk of any machine to book.

    Sealed segments go, each once, as they are; what a killed worker left is closed before. Killed
    at any point, the next one goes on. The object store is what STEELYARD_OBJECTS names.
    """
    opened = app.load_studio(folder)
    try:
        if not machines.share_journals():
            fail(f"{machines.VARIABLE} is not set; it names the store, as in s3://bucket/studio")
        if once:
            engine = app.open_database(opened)
            try:
                shared = _open(opened, engine)
                shared.recover(SystemClock())
                _tell(shared.ship(), as_json=as_json)
            finally:
                engine.dispose()
            return
    except FAULTS as exc:
        fail(str(exc))
    stopping = watching.stopping(supervised=supervised)
    if supervised or as_json:
        click.echo(msgspec.json.encode({"ready": True}))
    _go_on(opened, stopping, as_json=as_json, quiet=supervised)


def _go_on(opened: Studio, stopping: threading.Event, *, as_json: bool, quiet: bool) -> None:
    """Ship until told to stop, and once more then; what is away is waited for."""
    pause_s = opened.settings.clerk.poll_ms / 1000
    away_s, polls, said = pause_s, 0, ""
    keeping = Keeping(opened.root, SystemClock())
    shared: Shared | None = None
    last = False
    while not last:
        last = stopping.is_set()
        try:
            shared = shared or _open(opened, app.open_database(opened))
            if polls % RECOVER_EVERY_POLLS == 0:
                shared.recover(SystemClock())
            keeping.keep()
            sent = shared.ship()
            polls, away_s, said = polls + 1, pause_s, ""
            if sent.segments and not quiet:
                _tell(sent, as_json=as_json)
        except (ObjectsError, OperationalError) as exc:
            away_s = min(2 * away_s, AWAY_S_MAX)
            if str(exc) != said:
                said = str(exc)
                click.echo(
                    f"steelyard: {said}; the journal waits here, and is shipped later", err=True
                )
        if not last:
            stopping.wait(away_s)
    if shared is not None:
        shared.engine.dispose()


def _open(opened: Studio, engine: sa.Engine) -> Shared:
    shared = machines.open_shared(opened, engine)
    assert shared is not None
    return shared


def _tell(sent: Sent, *, as_json: bool) -> None:
    if as_json:
        plain = {"segments": sent.segments, "damages": [str(each) for each in sent.damages]}
        click.echo(msgspec.json.encode(plain))
        return
    for each in sent.damages:
        click.echo(f"steelyard: {each}; this segment is not shipped", err=True)
    click.echo(f"{sent.segments:,} segments shipped")
