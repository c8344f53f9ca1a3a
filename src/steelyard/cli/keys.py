"""``steelyard keys``: make, list and revoke callers' keys."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.catalogue.sheets import suggestion
from steelyard.governance import keys
from steelyard.governance.keys import Key, KeyStore
from steelyard.studio import Studio
from steelyard.values import periods

_ID_BYTES = 4


@click.group("keys")
def command() -> None:
    """Make, list and revoke callers' keys."""


@command.command("create")
@click.argument("customer")
@click.option("--contract", help="The contract it calls under; needed when there are several.")
@click.option("--name", default="", help="What people call it: an app, a team.")
@click.option(
    "--models",
    "patterns",
    multiple=True,
    default=("*",),
    help="A shell pattern of models that it may call; may be given again. All, without it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def create(
    folder: Path,
    customer: str,
    contract: str | None,
    name: str,
    patterns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a key for CUSTOMER and show its secret, once."""
    opened = app.load_studio(folder)
    under = _contract(opened, customer, contract)
    _check_patterns(opened, patterns)
    secret = keys.new_secret(secrets.token_bytes(keys.SECRET_BYTES))
    key = Key(
        id=f"{customer}-{secrets.token_hex(_ID_BYTES)}",
        customer=customer,
        contract=under,
        models=patterns,
        sha256=keys.digest(secret),
        name=name,
        hint=keys.hint(secret),
        created_us=app.SystemClock().wall_us(),
    )
    with _store(opened) as store:
        store.add(key)
    if as_json:
        shown = {"id": key.id, "customer": customer, "contract": under, "secret": secret}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)))
        return
    click.echo(secret)
    click.echo(f"\nThis is key {key.id} of {customer}, under {under}.", err=True)
    click.echo("Its secret is shown this once: only its SHA-256 is kept.", err=True)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def list_keys(folder: Path, as_json: bool) -> None:
    """List the keys that the studio's file declares, and those that were issued."""
    opened = app.load_studio(folder)
    with _store(opened) as store:
        issued = store.all()
    found = (*opened.keys, *issued)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_plain(each) for each in found])))
        return
    if not found:
        click.echo("There is no key yet; `steelyard keys create CUSTOMER` makes one.")
        return
    _print_table(found, opened.settings.studio.zone)


@command.command("revoke")
@click.argument("key_id")
@click.pass_obj
def revoke(folder: Path, key_id: str) -> None:
    """Revoke the issued key KEY_ID: from now on it opens nothing."""
    opened = app.load_studio(folder)
    if any(each.id == key_id for each in opened.keys):
        click.echo(f"{key_id} is declared in steelyard.toml; remove it there.", err=True)
        raise SystemExit(1)
    with _store(opened) as store:
        known = {each.id for each in store.all()}
        done = store.revoke(key_id, app.SystemClock().wall_us())
    if not done:
        click.echo(f'there is no key "{key_id}"{suggestion(key_id, known)}', err=True)
        raise SystemExit(1)
    click.echo(f"{key_id} is revoked.")


@contextmanager
def _store(opened: Studio) -> Generator[KeyStore]:
    engine = app.open_database(opened)
    try:
        yield app.open_keys(engine)
    finally:
        engine.dispose()


def _contract(opened: Studio, customer: str, contract: str | None) -> str:
    """The contract that a new key calls under. Exits when it is not the customer's."""
    parties = {each.id for each in opened.edition.customers}
    theirs = sorted({c.id for c in opened.edition.contracts if c.customer == customer})
    if customer not in parties:
        reason = f'unknown customer "{customer}"{suggestion(customer, parties)}'
    elif contract in theirs:
        return contract
    elif contract is not None:
        reason = f'{customer} has no contract "{contract}"{suggestion(contract, theirs)}'
    elif len(theirs) == 1:
        return theirs[0]
    elif theirs:
        reason = f"{customer} has several contracts; choose one: --contract {theirs[0]}"
    else:
        reason = f"{customer} has no contract; write one into contracts/"
    click.echo(reason, err=True)
    raise SystemExit(1)


def _check_patterns(opened: Studio, patterns: tuple[str, ...]) -> None:
    models = {each.id for each in opened.edition.models}
    for pattern in patterns:
        if not any(fnmatchcase(model, pattern) for model in models):
            hint = suggestion(pattern.strip("*"), models)
            click.echo(f'"{pattern}" matches no model{hint}', err=True)
            raise SystemExit(1)


def _plain(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "customer": key.customer,
        "contract": key.contract,
        "models": key.models,
        "name": key.name,
        "hint": key.hint,
        "declared": key.created_us == 0,
        "created": _day(key.created_us, "UTC") if key.created_us else None,
        "revoked": _day(key.revoked_us, "UTC") if key.revoked_us is not None else None,
    }


def _day(at_us: int, zone: str) -> str:
    return periods.from_us(at_us, zone).isoformat(sep=" ", timespec="seconds")


def _print_table(found: tuple[Key, ...], zone: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in ("key", "contract", "models", "name", "secret", "made", "state"):
        table.add_column(name)
    for each in found:
        made = periods.from_us(each.created_us, zone).date().isoformat() if each.created_us else ""
        if each.revoked_us is not None:
            state = f"[red]revoked {periods.from_us(each.revoked_us, zone).date()}[/red]"
        else:
            state = "opens" if each.created_us else "declared"
        row = (each.id, each.contract, " ".join(each.models), each.name, each.hint, made, state)
        table.add_row(*row)
    Console().print(table)
