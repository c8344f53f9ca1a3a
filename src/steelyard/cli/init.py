"""``steelyard init``: write a commented studio into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from steelyard import app

EXAMPLES = ("first", "market")
"""``first`` is the least that works; ``market`` has four contracts and a provider a family."""


@click.command("init")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--example",
    type=click.Choice(EXAMPLES),
    default="first",
    show_default=True,
    help="first: one customer, the embedded engine. market: four contracts, eight developers.",
)
@click.pass_obj
def command(studio: Path, folder: Path | None, example: str) -> None:
    """Write a commented studio into FOLDER; nothing that is there is overwritten."""
    root = folder or studio
    try:
        written = write(root, example)
    except FileExistsError as exc:
        click.echo(f"{exc} is there already, and nothing was written.", err=True)
        click.echo("Take another folder, `steelyard init FOLDER`, or remove the file.", err=True)
        raise SystemExit(1) from exc
    opened = app.load_studio(root)
    for path in written:
        click.echo(f"  wrote {path}")
    contract = opened.edition.contracts[0]
    here = "" if root == Path() else f" --studio {root}"
    click.echo(f"\n{opened.settings.studio.name} is sound. Next:")
    click.echo(f"  steelyard{here} keys create {contract.customer} --contract {contract.id}")
    click.echo(f"  steelyard{here} up")


def write(root: Path, example: str) -> tuple[Path, ...]:
    """Write an example's files into a folder.

    Raises: FileExistsError, before anything is written, when one of them is there.
    """
    source = resources.files("steelyard.cli") / "templates" / example
    files = [(root / name, each.read_bytes()) for name, each in _walk(source)]
    for path, _ in files:
        if path.exists():
            raise FileExistsError(path)
    for path, content in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    return tuple(path for path, _ in files)


def _walk(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if each.is_dir():
            yield from _walk(each, f"{above}{each.name}/")
        else:
            yield above + (".gitignore" if each.name == "gitignore" else each.name), each
