"""``steelyard rate``: rate usage in a Parquet file, apart from the books."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from steelyard import app
from steelyard.clerk import files
from steelyard.clerk.files import UsageFileError
from steelyard.cli.failing import fail


@click.command("rate")
@click.argument("usage", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("lines", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(folder: Path, usage: Path, lines: Path, as_json: bool) -> None:
    """Rate USAGE, a Parquet file, by the studio's documents as they are, into files in LINES.

    Nothing is booked. USAGE has a row for each call: call_id (16 bytes), at_us (microseconds since
    1970 in UTC), contract, model, and as far as wanted deployment, service_tier, region, mode,
    duration_us and a column for each meter by its name.
    """
    if lines.exists() and any(lines.iterdir()):
        fail(f"{lines} is not empty; name a new folder")
    opened = app.load_studio(folder)
    try:
        found = files.rate(usage, lines, opened.edition)
    except (UsageFileError, OSError) as exc:
        fail(str(exc))
    if as_json:
        told = {"calls": found.calls, "unrated": found.unrated, "lines": found.lines}
        click.echo(msgspec.json.encode(told | {"files": len(found.files)}))
        return
    click.echo(f"{found.calls:,} calls, {found.lines:,} lines in {len(found.files)} files")
    if found.unrated:
        click.echo(f"{found.unrated:,} calls have no price: no contract sells them at their time")
