"""``steelyard restart``: new workers take over from the old ones."""

from __future__ import annotations

from pathlib import Path

import click

from steelyard.cli.ordered import order


@click.command("restart")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(folder: Path, *, as_json: bool) -> None:
    """Start new workers, which read the studio's files anew, then end the old ones.

    A new worker has the port before its predecessor lets go of it, and that one ends the calls
    that it has: no connection is refused, no stream is cut.
    """
    order(folder, "restart", as_json=as_json)
