"""``steelyard check``: read the whole studio and name whatever is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from steelyard import studio
from steelyard.studio import Studio, StudioFaults


@click.command("check")
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Don't look for the secrets that the files name in the environment.",
)
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(folder: Path, without_secrets: bool, as_json: bool) -> None:
    """Check the studio's files; print file, line, column and reason of each fault."""
    try:
        opened = studio.load(folder, None if without_secrets else os.environ)
    except StudioFaults as exc:
        if as_json:
            _print_json({"sound": False, "faults": exc.faults, "warnings": ()})
        else:
            for fault in exc.faults:
                click.echo(str(fault))
            count = len(exc.faults)
            click.echo(f"{count} fault{'s' if count > 1 else ''}", err=True)
        raise SystemExit(1) from exc
    counts = _counts(opened)
    if as_json:
        found = {"sound": True, "faults": (), "warnings": opened.warnings, "counts": counts}
        _print_json(found)
        return
    for warning in opened.warnings:
        click.echo(f"warning: {warning}", err=True)
    listed = ", ".join(_counted(count, name) for name, count in counts.items())
    click.echo(f"{opened.settings.studio.name} is sound: {listed}")


def _counts(opened: Studio) -> dict[str, int]:
    edition = opened.edition
    return {
        "customers": len(edition.customers),
        "contracts": len({contract.id for contract in edition.contracts}),
        "contract_versions": len(edition.contracts),
        "earners": len(edition.earners),
        "share_rules": len(edition.shares),
        "deployments": len(edition.deployments),
        "models": len(edition.models),
        "price_books": len(edition.books),
        "list_prices": sum(len(book.prices) for book in edition.books),
        "declared_keys": len(opened.keys),
    }


def _counted(count: int, plural: str) -> str:
    words = plural.replace("_", " ")
    return f"{count:,} {words.removesuffix('s') if count == 1 else words}"


def _print_json(found: Mapping[str, object]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(found)))
