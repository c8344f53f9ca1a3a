"""``steelyard console``: pages for people, served apart from the calls."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import click
import msgspec

from steelyard import app
from steelyard.cli.failing import fail
from steelyard.console.site import HEARD, Request, Site
from steelyard.edge import body, listening
from steelyard.edge.connections import Listen
from steelyard.edge.ports import Port, PortTakenError
from steelyard.edge.rsgi import HTTPProtocol, Scope
from steelyard.governance import keys
from steelyard.settings import ConsoleSettings
from steelyard.showing import Showing
from steelyard.system import SystemClock

CONNECTIONS_MAX = 256
BODY = body.Limits(body_bytes_max=64 << 10, body_s=5)
"""Nobody has anything to say to it: what is said is read, so that the answer is heard."""

KEY_CHARS_MIN = 16


@click.command("console")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Listen here, not where the studio's file says."
)
@click.option("--listen", type=int, hidden=True, help="A socket that was taken for it.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line for a machine when it serves."
)
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input closes.")
@click.pass_obj
def command(
    folder: Path, port: int | None, listen: int | None, as_json: bool, supervised: bool
) -> None:
    """Show the studio in a browser: books, machines, budgets, usage, documents.

    Nothing is changed there. The operator sees all, a customer that gives one of its keys as the
    password what is its own. Each page is JSON too, with .json at the end.
    """
    showing = Showing(folder, SystemClock())
    settings = app.load_studio(folder).settings.console
    site = Site(showing, _operator(settings))
    try:
        if listen is None:
            taken = Port(settings.host, settings.port if port is None else port).take()
        else:
            taken = socket.socket(fileno=listen)
    except PortTakenError as exc:
        fail(str(exc))
    with taken:
        host, number = taken.getsockname()[:2]
        told = Listen(host=host, port=number, connections_max=CONNECTIONS_MAX, socket=taken)
        asyncio.run(_serve(site, told, as_json=as_json or supervised, supervised=supervised))
    showing.close()


def _operator(settings: ConsoleSettings) -> str | None:
    """The digest of the operator's key."""
    if settings.key_env is None:
        return None
    secret = os.environ.get(settings.key_env, "")
    if len(secret) < KEY_CHARS_MIN:
        fail(
            f"{settings.key_env} is to have the operator's key to the console (key_env under "
            f"[console]), of {KEY_CHARS_MIN} characters or more; set it"
        )
    return keys.digest(secret)


async def _serve(site: Site, listen: Listen, *, as_json: bool, supervised: bool) -> None:
    server = listening.Server(_Application(site), listen)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    if supervised:
        loop.add_reader(sys.stdin.fileno(), _hear, server)
    task = asyncio.create_task(server.serve())
    await server.ready()
    if as_json:
        ready = {"ready": True, "host": listen.host, "port": listen.port, "pid": os.getpid()}
        click.echo(msgspec.json.encode(ready))
    else:
        click.echo(f"the console is at http://{listen.host}:{listen.port}/")
    await task


def _hear(server: listening.Server) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        server.stop()


class _Application:
    """A site as what a server hands requests to."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __rsgi__(self, scope: Scope, proto: HTTPProtocol) -> None:
        """Answer one request."""
        sent = scope.headers
        request = Request(
            method=scope.method,
            path=scope.path,
            client=scope.client,
            headers={name: sent.get(name, "") for name in HEARD if name in sent},
            at_us=SystemClock().wall_us(),
        )
        found = await asyncio.to_thread(self._site.answer, request)
        await body.discard(proto, BODY)
        proto.response_bytes(found.status, found.headers, found.body)
