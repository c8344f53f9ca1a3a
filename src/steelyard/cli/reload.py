"""``steelyard reload``: the running studio reads its files anew."""

from __future__ import annotations

from pathlib import Path

import click

from steelyard.cli.ordered import order


@click.command("reload")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(folder: Path, *, as_json: bool) -> None:
    """Have the `steelyard up` of this studio read its files anew.

    The documents are recorded once, as a new edition, and every worker serves by it from its next
    call on; no call is disturbed. A studio with a fault changes nothing, and the fault is named.
    """
    order(folder, "reload", as_json=as_json)
