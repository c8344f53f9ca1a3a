"""``steelyard report``: what the books say, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard.clerk.printing import aligned, decimals
from steelyard.cli.booked import booked
from steelyard.cli.close import read_month
from steelyard.cli.failing import fail
from steelyard.lab import money as lab
from steelyard.lab.flows import COMPONENT_NAMES
from steelyard.lab.money import MoneyReport
from steelyard.lab.page import page


@click.group("report")
def command() -> None:
    """Show what the books say."""


@command.command("money")
@click.option("--period", help="Only this period, as in 2026-11; all that is booked, without it.")
@click.option(
    "--html",
    "html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the page; documents/money.html in the studio, without it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def report_money(folder: Path, period: str | None, html: Path | None, as_json: bool) -> None:
    """Show where the money goes: customers, contracts, models, components, earners.

    Prints a table, and writes a page with a diagram. Amounts are exact, and add up.
    """
    month = None if period is None else str(read_month(period))
    with booked(folder) as books:
        sums = books.closings.line_sums(month)
        reports = lab.reports(sums, books.studio.edition)
    if not reports:
        where = f" in {month}" if month else " yet"
        fail(f"nothing is booked{where}; `steelyard import` books a trace")
    name = "money.html" if month is None else f"money-{month}.html"
    file = html or books.studio.root / "documents" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(reports, books.studio.settings.studio.name), encoding="utf-8")
    if as_json:
        shown = {"page": str(file), "currencies": [lab.as_json(each) for each in reports]}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)))
        return
    for each in reports:
        print_report(each)
    click.echo(f"Page: {file}")


def print_report(report: MoneyReport) -> None:
    """Print a report as two tables: what was sold, and who earned it."""
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(f"\n[bold]{lab.headline(report)}[/bold]")
    console.print(_sales(report))
    console.print(_earnings(report))


def _sales(report: MoneyReport) -> Table:
    costs = [sum(each.costs_pico) for each in report.sales]
    amounts = [
        *(each.charged_pico for each in report.sales),
        *costs,
        *(each.margin_pico for each in report.sales),
        *(report.charged_pico, sum(costs), report.margin_pico),
    ]
    table = _table(("customer", "contract", "model"), ("charged", "costs", "margin"))
    for each, cost_pico in zip(report.sales, costs, strict=True):
        names = (each.customer, each.contract, each.model)
        row = (each.charged_pico, cost_pico, each.margin_pico)
        table.add_row(*names, *_digits(row, report.currency, amounts))
    total = (report.charged_pico, sum(costs), report.margin_pico)
    table.add_section()
    row = _digits(total, report.currency, amounts)
    table.add_row(f"all {report.currency}", "", "", *row, style="bold")
    return table


def _earnings(report: MoneyReport) -> Table:
    amounts = [*(each.amount_pico for each in report.earnings), report.charged_pico]
    table = _table(("pays for", "earner"), ("earned", "share"))
    shown = ""
    for each in report.earnings:
        component = COMPONENT_NAMES[each.component]
        [text] = _digits((each.amount_pico,), report.currency, amounts)
        share = lab.percent(each.amount_pico, report.charged_pico)
        table.add_row("" if component == shown else component, each.party, text, share)
        shown = component
    table.add_section()
    [text] = _digits((report.charged_pico,), report.currency, amounts)
    table.add_row(f"all {report.currency}", "", text, "", style="bold")
    return table


def _table(names: Sequence[str], figures: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _digits(row: Sequence[int], currency: str, amounts: Sequence[int]) -> list[str]:
    places = decimals(currency, amounts)
    return [aligned(each, currency, places) for each in row]
