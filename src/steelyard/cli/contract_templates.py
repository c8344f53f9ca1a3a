"""``steelyard contract templates``: ready-made contracts, one for each way of paying."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import studio
from steelyard.catalogue.sheets import suggestion
from steelyard.catalogue.templates import Template, made
from steelyard.cli.failing import fail


@click.group("templates")
def command() -> None:
    """Ready-made contracts, one for each way of paying, each with a worked example."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
def list_(as_json: bool) -> None:
    """Name the templates, and whom each is for."""
    if as_json:
        found = [
            {"name": each.name, "title": each.title, "taken_for": each.taken_for}
            for each in studio.templates()
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
        return
    table = Table("template", "what it is", "take it for", box=box.SIMPLE_HEAD, pad_edge=False)
    for each in studio.templates():
        table.add_row(each.name, each.title, each.taken_for)
    Console(width=None if Console().is_terminal else 160).print(table)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print the template NAME, with its example."""
    click.echo(_found(name).text, nl=False)


@command.command("new")
@click.argument("name")
@click.option("--id", "contract", required=True, help="The new contract's id.")
@click.option("--customer", required=True, help="The id of a [[customer]] of the studio.")
@click.pass_obj
def new(folder: Path, name: str, contract: str, customer: str) -> None:
    """Begin a contract with the template NAME: a file in `contracts/`, for you to change."""
    template = _found(name)
    path = folder / "contracts" / f"{contract}.toml"
    if path.exists():
        fail(f"{path} is there already; choose another --id")
    if not path.parent.is_dir():
        fail(f"there is no {path.parent}; `steelyard init` writes a studio")
    path.write_text(made(template, contract, customer), "utf-8")
    click.echo(f"{path}: read it, change it, then `steelyard check`")


def _found(name: str) -> Template:
    known = {each.name: each for each in studio.templates()}
    if name not in known:
        fail(f'there is no template "{name}"{suggestion(name, known)}')
    return known[name]
