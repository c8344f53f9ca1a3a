"""``steelyard keys``: make, change, list and revoke callers' keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.catalogue.names import Identifier
from steelyard.catalogue.sheets import suggestion
from steelyard.governance import keys
from steelyard.governance.keys import Key, KeyStore
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import periods

_ID_BYTES = 4


@click.group("keys")
def command() -> None:
    """Make, change, list and revoke callers' keys."""


def _described(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what a key is like."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS = (
    click.option("--name", help="What people call it: an app, a team."),
    click.option(
        "--models",
        multiple=True,
        help="A shell pattern of models that it may call; may be given again. At first: all.",
    ),
    click.option(
        "--regions",
        multiple=True,
        help="A shell pattern of regions in which its calls may be computed; may be given again. "
        "At first: all.",
    ),
    click.option(
        "--workspace", help="The part of the customer whose limits its calls count towards."
    ),
    click.option("--project", help="What its calls are for: whose budget they count towards."),
    click.option(
        "--priority",
        type=click.IntRange(0, keys.PRIORITY_MAX),
        help="Whose call goes first where calls of one customer wait: the higher. At first: 0.",
    ),
    click.option(
        "--routing/--no-routing",
        default=None,
        help="Whether its calls may choose deployments by the header x-steelyard-deployments. At "
        "first: no.",
    ),
)


@command.command("create")
@click.argument("customer")
@click.option("--contract", help="The contract it calls under; needed when there are several.")
@_described
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def create(
    folder: Path,
    customer: str,
    contract: str | None,
    as_json: bool,
    **said: object,
) -> None:
    """Make a key for CUSTOMER and show its secret, once."""
    opened = app.load_studio(folder)
    under = _contract(opened, customer, contract)
    attributes = _attributes(opened, said)
    secret = keys.new_secret(secrets.token_bytes(keys.SECRET_BYTES))
    key = Key(
        id=f"{customer}-{secrets.token_hex(_ID_BYTES)}",
        customer=customer,
        contract=under,
        sha256=keys.digest(secret),
        hint=keys.hint(secret),
        created_us=SystemClock().wall_us(),
        **attributes,
    )
    with _store(opened) as store:
        store.add(key)
    if as_json:
        _print_json({**_plain(key), "secret": secret})
        return
    click.echo(secret)
    click.echo(f"\nThis is key {key.id} of {customer}, under {under}.", err=True)
    click.echo("Its secret is shown this once: only its SHA-256 is kept.", err=True)


@command.command("change")
@click.argument("key_id")
@_described
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def change(folder: Path, key_id: str, as_json: bool, **said: object) -> None:
    """Change what the issued key KEY_ID is like, from its next call on; its secret stays.

    What is not said stays; --models and --regions replace all that were there.
    """
    opened = app.load_studio(folder)
    attributes = _attributes(opened, said)
    if not attributes:
        click.echo("Say what is to change: --models, --priority and so on.", err=True)
        raise SystemExit(1)
    with _store(opened) as store:
        changed = replace(_issued(opened, store, key_id), **attributes)
        store.change(changed)
    if as_json:
        _print_json(_plain(changed))
        return
    _print_table((changed,), opened.settings.studio.zone)


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
        _print_json([_plain(each) for each in found])
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
    with _store(opened) as store:
        store.revoke(_issued(opened, store, key_id).id, SystemClock().wall_us())
    click.echo(f"{key_id} is revoked.")


def _issued(opened: Studio, store: KeyStore, key_id: str) -> Key:
    """The issued key of this id. Exits when there is none."""
    if any(each.id == key_id for each in opened.keys):
        reason = f"{key_id} is declared in steelyard.toml; change it there."
    else:
        issued = {each.id: each for each in store.all()}
        if key_id in issued:
            return issued[key_id]
        reason = f'there is no key "{key_id}"{suggestion(key_id, issued)}'
    click.echo(reason, err=True)
    raise SystemExit(1)


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


def _attributes(opened: Studio, options: Mapping[str, object]) -> dict[str, Any]:
    """What of a key the options say. Exits when a pattern matches nothing, or a name is none."""
    said: dict[str, Any] = {name: each for name, each in options.items() if each not in {None, ()}}
    models = {each.id for each in opened.edition.models}
    regions = {each.region for each in opened.edition.deployments if each.region}
    _check_patterns(said.get("models", ()), models, "model")
    _check_patterns(said.get("regions", ()), regions, "region of a deployment")
    for name in ("workspace", "project"):
        try:
            msgspec.convert(said.get(name) or None, Identifier | None)
        except msgspec.ValidationError:
            sentence = "a name has letters, digits and . _ -, 64 at the most"
            click.echo(f'"{said[name]}" is no {name}: {sentence}', err=True)
            raise SystemExit(1) from None
    return said


def _check_patterns(patterns: tuple[str, ...], known: Collection[str], what: str) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(each, pattern) for each in known) and pattern != "*":
            hint = suggestion(pattern.strip("*"), known)
            click.echo(f'"{pattern}" matches no {what}{hint}', err=True)
            raise SystemExit(1)


def _print_json(shown: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(shown)))


def _plain(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "customer": key.customer,
        "contract": key.contract,
        "models": key.models,
        "regions": key.regions,
        "workspace": key.workspace or None,
        "project": key.project or None,
        "priority": key.priority,
        "routing": key.routing,
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
    for name in ("key", "contract", "may call", "name", "secret", "made", "state"):
        table.add_column(name)
    for each in found:
        made = periods.from_us(each.created_us, zone).date().isoformat() if each.created_us else ""
        if each.revoked_us is not None:
            state = f"[red]revoked {periods.from_us(each.revoked_us, zone).date()}[/red]"
        else:
            state = "opens" if each.created_us else "declared"
        row = (each.id, each.contract, _rights(each), each.name, each.hint, made, state)
        table.add_row(*row)
    Console().print(table)


def _rights(key: Key) -> str:
    """What a key may, and how its calls are treated: whatever is not as with any other."""
    parts = [" ".join(key.models)]
    if key.regions != ("*",):
        parts.append(f"in {' '.join(key.regions)}")
    if key.workspace:
        parts.append(f"for {key.workspace}")
    if key.project:
        parts.append(f"project {key.project}")
    if key.priority:
        parts.append(f"priority {key.priority}")
    if key.routing:
        parts.append("chooses deployments")
    return ", ".join(parts)
