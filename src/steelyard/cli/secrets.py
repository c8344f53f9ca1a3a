"""``steelyard secrets``: upstreams' keys, sealed in the studio's folder."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.catalogue.documents import Deployment
from steelyard.catalogue.sheets import suggestion
from steelyard.cli.failing import fail
from steelyard.governance import sealed
from steelyard.governance.sealed import MASTER_VARIABLE, Sealed, SealedError
from steelyard.system import SystemClock
from steelyard.values import periods

_MAKE = f"`export {MASTER_VARIABLE}=$(openssl rand -base64 32)` makes one; keep it elsewhere, too"


@click.group("secrets")
def command() -> None:
    """Seal upstreams' keys in the studio, under the key in STEELYARD_MASTER_KEY."""


@command.command("set")
@click.argument("name")
@click.pass_obj
def set_secret(folder: Path, name: str) -> None:
    """Seal a secret as NAME: it is asked for, or read from standard input, and never shown."""
    opened = app.load_studio(folder)
    if not name.isidentifier():
        fail(f'"{name}" is no name that can be used here; write letters, digits and "_"')
    master = os.environ.get(MASTER_VARIABLE)
    if not master:
        fail(f"{MASTER_VARIABLE} is not set; {_MAKE}")
    if sys.stdin.isatty():
        secret = str(click.prompt(name, hide_input=True))
    else:
        secret = sys.stdin.read(sealed.SECRET_CHARS_MAX + 2).rstrip("\r\n")
    fresh = (secrets.token_bytes(sealed.NONCE_BYTES), SystemClock().wall_us())
    try:
        with sealed.changing(opened.root):
            held = _held(opened.root)
            key = sealed.derive(master, held.salt)
            sealed.write(opened.root, sealed.put(held, key, name, secret, fresh))
    except SealedError as exc:
        fail(str(exc))
    click.echo(f'{name} is sealed; a deployment uses it by key_secret = "{name}".')


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def list_secrets(folder: Path, as_json: bool) -> None:
    """List the secrets by name, and which deployments use them; no master key is needed."""
    opened = app.load_studio(folder)
    held = _held(opened.root)
    users = {name: list[str]() for name in held.secrets}
    for deployment in opened.edition.deployments:
        for name in _secrets_of(deployment):
            users.setdefault(name, []).append(deployment.id)
    zone = opened.settings.studio.zone
    rows = [
        {"name": name, "set": _day(held, name, zone), "deployments": users[name]}
        for name in sorted(users)
    ]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)))
        return
    if not rows:
        click.echo("There is no secret yet; `steelyard secrets set NAME` takes one.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for column in ("secret", "set", "deployments"):
        table.add_column(column)
    for name in sorted(users):
        table.add_row(name, _day(held, name, zone) or "missing", " ".join(users[name]))
    Console().print(table)


@command.command("remove")
@click.argument("name")
@click.pass_obj
def remove(folder: Path, name: str) -> None:
    """Remove the secret NAME; a gateway that runs keeps what it has until it starts anew."""
    opened = app.load_studio(folder)
    users = [each.id for each in opened.edition.deployments if name in _secrets_of(each)]
    if users:
        fail(f"{name} is used by {', '.join(users)}; take it out of steelyard.toml first")
    with sealed.changing(opened.root):
        held = _held(opened.root)
        if name not in held.secrets:
            fail(f'there is no secret "{name}"{suggestion(name, held.secrets)}')
        sealed.write(opened.root, sealed.without(held, name))
    click.echo(f"{name} is removed.")


def _secrets_of(deployment: Deployment) -> tuple[str, ...]:
    login = deployment.proxy_login_secret
    return (*deployment.keys_secret, *(() if login is None else (login,)))


def _held(folder: Path) -> Sealed:
    try:
        held = sealed.read(folder)
    except SealedError as exc:
        fail(str(exc))
    return held or Sealed(salt=secrets.token_bytes(sealed.SALT_BYTES))


def _day(held: Sealed, name: str, zone: str) -> str | None:
    if name not in held.secrets:
        return None
    return periods.from_us(held.secrets[name].set_us, zone).isoformat(sep=" ", timespec="seconds")
