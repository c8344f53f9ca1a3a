"""``steelyard contract due``: what a contract charges in a month by the period and by event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard.catalogue.documents import Contract
from steelyard.catalogue.items import titles
from steelyard.catalogue.phrases import Language, meter
from steelyard.catalogue.sheets import suggestion
from steelyard.clerk.periodic import Order
from steelyard.cli.booked import booked
from steelyard.cli.failing import fail
from steelyard.rating.lines import Line
from steelyard.system import SystemClock
from steelyard.values import ids, meters, money, periods


@click.command("due")
@click.argument("contract")
@click.argument("period", required=False)
@click.option("--book", "now", is_flag=True, help="Book what is due until now, of all contracts.")
@click.option("--again", is_flag=True, help="A closed month by the documents as they are now.")
@click.option("--zh", "chinese", is_flag=True, help="Meters in Chinese.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(
    folder: Path,
    contract: str,
    period: str | None,
    now: bool,
    again: bool,
    chinese: bool,
    as_json: bool,
) -> None:
    """Show what is due of CONTRACT in PERIOD (2026-11; this month) besides its calls.

    Fees, reservations, milestones and the like, as events and calls stand now. `steelyard close`
    books them; what is paid in advance can be booked before that. After a fee was corrected,
    --again shows a closed month as it should have been; with --book the difference, of it and of
    the months since, goes into the first open one.
    """
    at_us = SystemClock().wall_us()
    with booked(folder) as books:
        versions = [each for each in books.studio.edition.contracts if each.id == contract]
        if not versions:
            known = {each.id for each in books.studio.edition.contracts}
            fail(f'unknown contract "{contract}"{suggestion(contract, known)}')
        newest = max(versions, key=lambda each: each.valid_from_us)
        month = period or str(periods.month_of(at_us, newest.zone))
        try:
            periods.month(month)
        except periods.PeriodError as exc:
            raise click.UsageError(str(exc)) from exc
        again_from = month if again else None
        order = Order(period=month, edition=books.edition, again_from=again_from)
        if now:
            opens = books.standing.head().first_open or month
            last = max(month, opens) if again else month
            books.charge(msgspec.structs.replace(order, period=last, until_us=at_us))
        found = books.due(order, contract)
    if as_json:
        shown = [
            msgspec.structs.asdict(each) | {"call_id": ids.text(each.call_id)} for each in found
        ]
        click.echo(msgspec.json.format(msgspec.json.encode({"period": month, "lines": shown})))
    else:
        _print(newest, month, [each for each in found if each.side != "cost"], chinese=chinese)


def _print(contract: Contract, month: str, found: Sequence[Line], *, chinese: bool) -> None:
    language: Language = "zh" if chinese else "en"
    if not found:
        click.echo(f"Nothing is due of {contract.id} in {month} besides its calls.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("day", "of", "for"):
        table.add_column(name)
    for name in ("units", "price", "amount"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in sorted(found, key=lambda each: each.at_us):
        units, per = meters.priced_per(line.meter)
        price = f"{money.grouped(line.price_pico * units, 2)} / {per}"
        table.add_row(
            str(periods.day_of(line.at_us, contract.zone)),
            titles.title(contract, line.model) or line.model,
            line.component if line.side == "deposit" else meter(language, line.meter),
            f"{line.units:,}",
            price,
            money.grouped(line.amount_pico, money.CURRENCY_PLACES[contract.currency]),
        )
    total = sum(line.amount_pico for line in found)
    table.add_section()
    shown = money.grouped(total, money.CURRENCY_PLACES[contract.currency])
    table.add_row("", f"[bold]all {contract.currency}", "", "", "", f"[bold]{shown}")
    Console(width=None if Console().is_terminal else 120).print(table)
