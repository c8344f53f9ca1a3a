"""``steelyard wallet``: what customers paid in, on which their calls draw."""

from __future__ import annotations

import getpass
from pathlib import Path

import click
import msgspec

from steelyard import app
from steelyard.catalogue.sheets import suggestion
from steelyard.cli.booked import FAULTS
from steelyard.cli.failing import fail
from steelyard.governance import funding
from steelyard.governance.funding import Receipt
from steelyard.metering.journal import JournalError
from steelyard.system import SystemClock
from steelyard.values import money


@click.group("wallet")
def command() -> None:
    """Record what a customer pays in under a contract, and show it."""


@command.command("top-up")
@click.argument("contract")
@click.argument("amount")
@click.option("--key", "name", required=True, help="The payment's own name: once is once.")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who records it.")
@click.option("--note", default="", help="A text for people.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def top_up(
    folder: Path, contract: str, amount: str, name: str, by: str, note: str, as_json: bool
) -> None:
    """Record that AMOUNT was paid in under CONTRACT; calls can draw on it within a second."""
    opened = app.load_studio(folder)
    found = {each.id: each for each in opened.edition.contracts}
    if contract not in found:
        fail(f'there is no contract "{contract}"{suggestion(contract, found)}')
    try:
        amount_pico = money.amount(amount)
    except money.MoneyError as exc:
        raise click.BadParameter(str(exc), param_hint="AMOUNT") from exc
    if amount_pico <= 0:
        fail("what is paid in is above 0")
    receipt = Receipt(
        id=name,
        contract=contract,
        customer=found[contract].customer,
        currency=found[contract].currency,
        amount_pico=amount_pico,
        note=note,
    )
    try:
        engine = app.open_database(opened)
        try:
            clock = SystemClock()
            new = app.say(opened, engine, clock, funding.fact(receipt, clock.wall_us(), by))
            paid_pico = app.open_funding(engine).paid_pico.get(contract, 0)
        finally:
            engine.dispose()
    except (*FAULTS, JournalError) as exc:
        fail(str(exc))
    said = {"contract": contract, "paid": money.exact(paid_pico), "new": new}
    if as_json:
        click.echo(msgspec.json.encode(said))
    elif new:
        click.echo(f"recorded; {contract} has paid in {money.exact(paid_pico)} {receipt.currency}")
    else:
        click.echo(f'"{name}" was recorded before; nothing is changed')


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def show(folder: Path, as_json: bool) -> None:
    """Show what was paid in under each contract; `steelyard budgets list` has what is left."""
    opened = app.load_studio(folder)
    try:
        engine = app.open_database(opened)
        try:
            paid = app.open_funding(engine).paid_pico
        finally:
            engine.dispose()
    except FAULTS as exc:
        fail(str(exc))
    if as_json:
        click.echo(msgspec.json.encode({name: money.exact(each) for name, each in paid.items()}))
        return
    for name, each in sorted(paid.items()):
        click.echo(f"{name}  {money.exact(each)}")
    if not paid:
        click.echo("Nothing was paid in yet.")
