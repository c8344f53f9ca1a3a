"""``steelyard budgets``: what is spent of each, who was told, and raises that another approves."""

from __future__ import annotations

import getpass
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app, covering, showing
from steelyard.catalogue.sheets import suggestion
from steelyard.cli.booked import FAULTS
from steelyard.cli.failing import fail
from steelyard.dispatch import purses
from steelyard.dispatch.leasing import Held, StoreAwayError, is_building
from steelyard.dispatch.purses import Funds
from steelyard.governance import funding
from steelyard.governance.funding import Asked, Decided, Raise
from steelyard.metering.journal import JournalError
from steelyard.store.roster import Roster
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import ids, money, periods

_ID_DIGITS = 12
_COLUMNS = ("purse", "size", "spent", "leased", "left", "currency")


class _Open(NamedTuple):
    studio: Studio
    engine: sa.Engine
    funds: Funds
    held: Mapping[str, Held]
    awaited: Sequence[str]
    """Of a store that is being built up the workers that are not counted yet."""


@click.group("budgets")
def command() -> None:
    """Show what is spent of budgets, prepaid contracts and credit limits, and raise them."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def list_budgets(folder: Path, as_json: bool) -> None:
    """List each budget that calls have drawn on: a line for each payer and window."""
    with _opened(folder) as opened:
        rows = [_row(opened, each) for each in opened.held.values()]
        awaited = opened.awaited
    if awaited:
        click.echo(f"steelyard: limits are being built up; awaited: {', '.join(awaited)}", err=True)
    if as_json:
        _print(rows)
    elif not rows:
        click.echo("Nothing has been drawn on yet.")
    else:
        _table(rows)


@command.command("show")
@click.argument("purse")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def show(folder: Path, purse: str, as_json: bool) -> None:
    """Show one line of the list, its notices and its raises."""
    with _opened(folder) as opened:
        row = _row(opened, _find(opened, purse))
        told = [each for each in _notices(opened) if each["subject"] == purse]
        asked = [_plain(e) for e in app.open_funding(opened.engine).raises if e.purse == purse]
    if as_json:
        _print({**row, "notices": told, "raises": asked})
        return
    for name, value in row.items():
        click.echo(f"{name:9} {value}")
    for each in told:
        click.echo(f"notice    {each['data']} at {each['time']}")
    for each in asked:
        click.echo(f"raise     {each['id']} to {each['size']}: {each['state']}")


@command.command("notices")
@click.option("--json", "as_json", is_flag=True, help="Print CloudEvents, one a line.")
@click.pass_obj
def notices(folder: Path, as_json: bool) -> None:
    """List who was told that so much of a budget is used; each part is told once."""
    with _opened(folder) as opened:
        found = _notices(opened)
    for each in found:
        if as_json:
            click.echo(msgspec.json.encode(each))
        else:
            click.echo(f"{each['time']}  {each['subject']}  {each['data']}")
    if not found and not as_json:
        click.echo("Nobody was told of anything yet.")


@command.command("raise")
@click.argument("purse")
@click.option("--to", "size", required=True, help="The new size, as in 750.00.")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who asks.")
@click.option("--note", default="", help="Why.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def raise_(folder: Path, purse: str, size: str, by: str, note: str, as_json: bool) -> None:
    """Ask that PURSE, a line of the list, be raised; somebody else has to approve it.

    It holds for the window of that line, at once when it is approved. For good, change
    steelyard.toml.
    """
    try:
        size_pico = money.amount(size)
    except money.MoneyError as exc:
        raise click.BadParameter(str(exc), param_hint="--to") from exc
    with _opened(folder) as opened:
        _find(opened, purse)
        at_us = SystemClock().wall_us()
        name = ids.content_id(at_us, f"{purse} {size} {by}".encode()).hex()[-_ID_DIGITS:]
        asked = Asked(id=name, purse=purse, size_pico=size_pico, note=note)
        app.say(opened.studio, opened.engine, SystemClock(), funding.fact(asked, at_us, by))
    if as_json:
        _print({"id": name, "purse": purse, "size": size, "by": by})
    else:
        click.echo(
            f"asked for: {name}; somebody else approves it: steelyard budgets approve {name}"
        )


@command.command("approve")
@click.argument("request")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who approves.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def approve(folder: Path, request: str, by: str, as_json: bool) -> None:
    """Approve a raise that somebody else has asked for."""
    _decide(folder, request, by, as_json=as_json, approved=True)


@command.command("reject")
@click.argument("request")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who rejects.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def reject(folder: Path, request: str, by: str, as_json: bool) -> None:
    """Reject a raise."""
    _decide(folder, request, by, as_json=as_json, approved=False)


def _decide(folder: Path, request: str, by: str, *, as_json: bool, approved: bool) -> None:
    with _opened(folder) as opened:
        known = {each.id: each for each in app.open_funding(opened.engine).raises}
        asked = known.get(request)
        if asked is None:
            fail(f'there is no request "{request}"{suggestion(request, known)}')
        if asked.state != "open":
            fail(f"{request} is {asked.state} already, by {asked.decided_by}")
        if asked.asked_by == by:
            fail(f"{by} has asked for {request}; somebody else decides it")
        clock = SystemClock()
        said = Decided(id=request, approved=approved)
        app.say(opened.studio, opened.engine, clock, funding.fact(said, clock.wall_us(), by))
    state = "approved" if approved else "rejected"
    if as_json:
        _print({"id": request, "state": state, "by": by})
    else:
        click.echo(f"{request} is {state}")


@command.command("lost")
@click.argument("worker")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def lost(folder: Path, worker: str, as_json: bool) -> None:
    """Say that the machine of WORKER is lost with its disk: nothing more is heard of it.

    Where shared limits are built up again, nothing is leased before each worker is counted. Of this
    one what it shipped is then counted as all that it spent. Say it of no worker that may live.
    """
    studio = app.load_studio(folder)
    try:
        engine = app.open_database(studio)
        try:
            roster = Roster(engine)
            if worker not in (known := roster.all()):
                fail(f'no worker was ever called "{worker}"{suggestion(worker, known)}')
            roster.finish(worker)
        finally:
            engine.dispose()
    except FAULTS as exc:
        fail(str(exc))
    if as_json:
        _print({"worker": worker, "lost": True})
    else:
        click.echo(f"{worker} is not waited for any more; what it shipped is what it spent")


@contextmanager
def _opened(folder: Path) -> Generator[_Open]:
    studio = app.load_studio(folder)
    try:
        engine = app.open_database(studio)
        try:
            store = covering.open_allowances(studio)
            held = {each.purse: each for each in purses.with_money(store.held())}
            stamp, living, released = store.state()
            store.close()
            roster = Roster(engine).all().items() if is_building(stamp) else ()
            awaited = sorted({name for name, over in roster if not over} - living - released)
            yield _Open(studio, engine, app.open_funds(studio, engine), held, awaited)
        finally:
            engine.dispose()
    except StoreAwayError:
        fail("the store of shared limits can't be reached")
    except (*FAULTS, JournalError) as exc:
        fail(str(exc))


def _find(opened: _Open, purse: str) -> Held:
    if purse not in opened.held:
        fail(f'nothing was drawn on "{purse}"{suggestion(purse, opened.held)}')
    return opened.held[purse]


def _row(opened: _Open, held: Held) -> dict[str, str]:
    found = showing.purse(opened.funds, held)
    return {name: getattr(found, name) for name in _COLUMNS}


def _notices(opened: _Open) -> list[dict[str, object]]:
    """Each notice as a CloudEvent. Source: CloudEvents 1.0.2, JSON event format."""
    store = covering.open_allowances(opened.studio)
    try:
        return [
            {
                "specversion": "1.0",
                "id": f"{each.purse}@{each.ppm}",
                "source": f"/steelyard/{opened.studio.settings.studio.operator}",
                "type": "dev.steelyard.budget.used",
                "subject": each.purse,
                "time": periods.from_us(each.at_us).isoformat().replace("+00:00", "Z"),
                "datacontenttype": "application/json",
                "data": {
                    "percent": money.exact(each.ppm * money.PICO // 10_000),
                    "spent": money.exact(each.spent),
                    "size": money.exact(each.size),
                },
            }
            for each in store.notices()
        ]
    finally:
        store.close()


def _plain(each: Raise) -> dict[str, object]:
    told = msgspec.structs.asdict(each)
    return {**told, "size": money.exact(told.pop("size_pico"))}


def _print(what: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(what)))


def _table(rows: list[dict[str, str]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in {"purse", "currency"} else "right")
    for row in rows:
        table.add_row(*(row[name] for name in _COLUMNS))
    Console().print(table)
