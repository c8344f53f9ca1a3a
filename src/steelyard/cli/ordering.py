"""Ordering a correction: shown before it is booked, and carried out by the clerk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from steelyard.clerk import corrected
from steelyard.clerk.printing import coins
from steelyard.clerk.summary import Difference, Summary, summary
from steelyard.cli.booked import Booked, booked
from steelyard.cli.failing import fail
from steelyard.rating import corrections
from steelyard.rating.corrections import Change, Correction, Scope
from steelyard.system import SystemClock
from steelyard.values import money

REASON_LETTERS_MAX = 60

_DRY_FACT_ID = bytes(16)
_Command = TypeVar("_Command", bound=Callable[..., object])


def options(command: _Command) -> _Command:
    """Give a command the options that every correction has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print an object for a machine."),
        click.option("--book", is_flag=True, help="Book it; notes of closed months are issued."),
        click.option("--dry-run", is_flag=True, help="Only show what would change."),
        click.option("--reason", default="", help="Why, as the notes print it."),
    ):
        command = option(command)
    return command


def carry_out(
    folder: Path,
    ordered: Callable[[Booked], tuple[Scope, Change]],
    *,
    reason: str,
    dry_run: bool,
    book: bool,
    as_json: bool,
) -> None:
    """Show what a correction changes, and have it booked when ``book``."""
    if len(reason) > REASON_LETTERS_MAX:
        msg = f"a reason has at most {REASON_LETTERS_MAX} letters, so that it fits its line"
        raise click.BadParameter(msg, param_hint="--reason")
    if dry_run == book:
        msg = "say --dry-run to see what would change, or --book to book it"
        raise click.UsageError(msg)
    with booked(folder) as books:
        scope, change = ordered(books)
        correction = Correction(scope=scope, change=change, edition=books.edition, reason=reason)
        found = _drawn(books, correction)
        number = books.correct(correction) if book and not found.nothing else None
    if as_json:
        shown = {"booked": number is not None, "batch": number, **_plain(found)}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)))
    else:
        _print(found, number, book=book)


def _drawn(books: Booked, correction: Correction) -> Summary:
    fact = corrections.fact(correction, SystemClock().wall_us(), _DRY_FACT_ID)
    total = len(books.standing.batches())
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("rating again", total=total)
        drawn = corrected.draw(
            books.standing, [fact], lambda batch: progress.update(task, completed=batch)
        )
    return summary(drawn)


def named_calls(texts: tuple[str, ...]) -> Scope:
    """The scope of calls that are named one by one. Exits when one is no id, or too many are."""
    from steelyard.values import ids  # noqa: PLC0415 - so that --help is quick

    if len(texts) > corrections.CALLS_MAX:
        fail(f"{len(texts):,} calls are more than one correction names; order several")
    try:
        return Scope(calls=tuple(ids.parse(each).hex() for each in texts))
    except ValueError as exc:
        msg = f"{exc}; write a call's id as `steelyard journal cat` shows it"
        raise click.BadParameter(msg) from exc


def _print(found: Summary, number: int | None, *, book: bool) -> None:
    console = Console(width=None if Console().is_terminal else 120)
    if found.kept:
        click.echo(f"Calls without a price that way, which stay as they are: {found.kept:,}.")
    if found.nothing:
        click.echo("Nothing differs" + ("; nothing is booked." if book else "."))
        return
    calls = f"{found.calls:,} call{'s' * (found.calls > 1)}"
    click.echo(f"{calls} differ{'s' * (found.calls == 1)}: {found.lines:,} lines.")
    for title, rows in (
        ("who pays", found.payers),
        ("model", found.models),
        ("who earns", found.earners),
    ):
        if rows:
            console.print(_table(title, rows))
    for each in found.documents:
        total = money.payable(each.paid_pico, each.currency)
        click.echo(f"{each.kind:<12} {each.number:<44} {each.currency} {total:>16}")
    if number is None:
        click.echo("Nothing is booked yet: say --book instead of --dry-run.")
    else:
        click.echo(f"Booked as batch {number:,}.")


def _table(title: str, rows: tuple[Difference, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title)
    table.add_column("")
    table.add_column("charged", justify="right")
    table.add_column("costs", justify="right")
    table.add_column("")
    for each in rows:
        charged = money.exact(each.charged_pico) if each.charged_pico else ""
        cost = money.exact(each.cost_pico) if each.cost_pico else ""
        table.add_row(each.name, each.contract, charged, cost, each.currency)
    return table


def _plain(found: Summary) -> dict[str, object]:
    return {
        "calls": found.calls,
        "lines": found.lines,
        "kept": found.kept,
        "payers": [_difference(each, "customer") for each in found.payers],
        "models": [_difference(each, "model") for each in found.models],
        "earners": [_difference(each, "earner") for each in found.earners],
        "documents": [
            {
                "number": each.number,
                "kind": each.kind,
                "party": each.party,
                "currency": each.currency,
                "exact": money.exact(each.exact_pico),
                "total": coins(each.paid_pico, each.currency),
                "files": [file.path for file in each.files],
            }
            for each in found.documents
        ],
    }


def _difference(each: Difference, name: str) -> dict[str, str]:
    contract = {"contract": each.contract} if each.contract else {}
    return {
        name: each.name,
        **contract,
        "currency": each.currency,
        "charged": money.exact(each.charged_pico),
        "cost": money.exact(each.cost_pico),
    }
