"""``steelyard models``: the models of the catalogue and of the studio."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.catalogue.documents import Model
from steelyard.catalogue.sheets import suggestion
from steelyard.studio import Catalogue


@click.command("models")
@click.option("--family", help="Only this family: Qwen, GLM, DeepSeek …")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def command(folder: Path, family: str | None, as_json: bool) -> None:
    """Show the models that a contract can sell, and in which currencies a list price is known."""
    catalogue = app.load_catalogue(folder)
    models = catalogue.models
    if family is not None:
        models = tuple(each for each in models if each.family.lower() == family.lower())
        if not models:
            hint = suggestion(family, {each.family for each in catalogue.models})
            click.echo(f'no model of the family "{family}"{hint}', err=True)
            raise SystemExit(1)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(models)))
        return
    _print_table(models, catalogue)


def _print_table(models: tuple[Model, ...], catalogue: Catalogue) -> None:
    currencies: defaultdict[str, set[str]] = defaultdict(set)
    for book in catalogue.books:
        for price in book.prices:
            currencies[price.model].add(book.currency)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("model", no_wrap=True)
    table.add_column("weights")
    table.add_column("context", justify="right", no_wrap=True)
    table.add_column("reads")
    table.add_column("thinks", no_wrap=True)
    table.add_column("lists", no_wrap=True)
    families = sorted({(each.family, each.developer) for each in models})
    for index, (name, developer) in enumerate(families):
        if index:
            table.add_section()
        table.add_row(f"[bold]{name}[/bold] [dim]{developer}[/dim]")
        for each in models:
            if (each.family, each.developer) != (name, developer):
                continue
            licence = "[dim]closed[/dim]" if each.weights == "closed" else each.licence
            context = "" if each.context is None else f"{each.context:,}"
            listed = " ".join(sorted(currencies[each.id]))
            thinks = "yes" if each.reasoning else ""
            table.add_row(f"  {each.id}", licence, context, " ".join(each.input), thinks, listed)
    Console().print(table)
    click.echo(f"\n{len(models)} models. `steelyard prices MODEL` shows what one costs.")
