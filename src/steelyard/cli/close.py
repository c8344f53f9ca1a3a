"""``steelyard close``: close a period, and write its invoices and statements."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard.clerk import closing as closings
from steelyard.clerk.closing import Closing, Refused
from steelyard.clerk.periodic import Order
from steelyard.clerk.printing import coins
from steelyard.clerk.publishing import publish
from steelyard.cli.booked import Booked, booked
from steelyard.cli.failing import fail
from steelyard.system import SystemClock
from steelyard.values import money, periods


@click.command("close")
@click.argument("period")
@click.option(
    "--early",
    is_flag=True,
    help="Close a period that has not ended; calls that come later go into the next one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(folder: Path, period: str, early: bool, as_json: bool) -> None:
    """Close PERIOD (2026-11): one invoice a contract, one statement an earner, booked.

    A period is closed once. Closing it again changes nothing, and writes documents that are
    missing.
    """
    month = read_month(period)
    with booked(folder) as books:
        before = books.closings.closing(str(month))
        closed = before or _close(books, month, early=early)
        written = publish(closed.documents, books.studio.root)
    if as_json:
        shown = _as_json(closed, already=before is not None, written=written)
        click.echo(msgspec.json.format(msgspec.json.encode(shown)))
        return
    if before is not None:
        when = periods.from_us(closed.closed_at_us, books.studio.edition.zone)
        click.echo(f"{period} was closed already, {when:%Y-%m-%d %H:%M}; nothing is changed.")
    _print_table(closed)
    click.echo(f"Documents: {books.studio.root / 'documents' / closed.period}/")
    click.echo("Each is there as .txt, .json and .html, and is named by its number.")


def read_month(text: str) -> periods.Month:
    """A period as it is given on the command line. Exits when it is none."""
    try:
        return periods.month(text)
    except periods.PeriodError as exc:
        raise click.UsageError(str(exc)) from exc


def _close(books: Booked, month: periods.Month, *, early: bool) -> Closing:
    by_period = any(each.items for each in books.studio.edition.contracts)
    order = Order(period=str(month), edition=books.edition)
    made = closings.close(
        books.closings,
        books.edition,
        books.studio.edition,
        month,
        SystemClock().wall_us(),
        early=early,
        charge=(lambda: books.charge(order)) if by_period else None,
    )
    if isinstance(made, Refused):
        fail(made.sentence)
    return made


def _print_table(closed: Closing) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("document", no_wrap=True)
    table.add_column("for")
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("remainder", justify="right", no_wrap=True)
    for kind in ("invoice", "statement"):
        for each in closed.documents:
            if each.kind == kind:
                total = money.payable(each.paid_pico, each.currency)
                remainder = money.exact(each.remainder_pico)
                table.add_row(each.number, each.party, total, each.currency, remainder)
        table.add_section()
    for (kind, currency), paid_pico in _sums(closed).items():
        total = money.payable(paid_pico, currency)
        table.add_row(f"[bold]all {kind}s", "", f"[bold]{total}", currency, "")
    Console(width=None if Console().is_terminal else 120).print(table)


def _sums(closed: Closing) -> dict[tuple[str, str], int]:
    """What the documents come to, by currency and kind. Unit: pico-units."""
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in sorted(closed.documents, key=lambda each: (each.currency, each.kind)):
        sums[each.kind, each.currency] += each.paid_pico
    return dict(sums)


def _as_json(closed: Closing, *, already: bool, written: tuple[str, ...]) -> dict[str, object]:
    return {
        "period": closed.period,
        "closed_already": already,
        "closed": periods.from_us(closed.closed_at_us).isoformat(),
        "early": closed.early,
        "documents": [
            {
                "number": each.number,
                "kind": each.kind,
                "party": each.party,
                "contract": each.contract or None,
                "currency": each.currency,
                "exact": money.exact(each.exact_pico),
                "total": coins(each.paid_pico, each.currency),
                "remainder": money.exact(each.remainder_pico),
                "files": [file.path for file in each.files],
            }
            for each in closed.documents
        ],
        "sums": [
            {"kind": kind, "currency": currency, "total": coins(paid_pico, currency)}
            for (kind, currency), paid_pico in _sums(closed).items()
        ],
        "written": written,
    }
