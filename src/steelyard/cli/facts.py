"""``steelyard facts``: write down what happened under a contract and is no call, and list it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.catalogue.sheets import suggestion
from steelyard.cli.facts_file import Row, instant, read
from steelyard.cli.failing import fail
from steelyard.metering import telling
from steelyard.metering.journal import JournalError
from steelyard.metering.segments import DamageError
from steelyard.rating.periods import fitting
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import events, periods
from steelyard.values.events import Event, What
from steelyard.values.facts import Fact


@click.group("facts")
def command() -> None:
    """Write down what happened under a contract and is no call.

    A plan was changed, a milestone accepted, a node's hours reported: what contracts charge by
    period and by event, `steelyard close` works out from these.
    """


@command.command("record")
@click.argument("contract")
@click.argument("about")
@click.argument("what", type=click.Choice(get_args(What)))
@click.argument("name", default="")
@click.option("--at", "written", help="When: 2026-11-24 or 2026-11-24T09:00; now, without it.")
@click.option("--units", multiple=True, metavar="NAME=NUMBER", help="A count; may be repeated.")
@click.option("--id", "given", help="Its own id.  [default: made from what it says]")
@click.option("--note", default="", help="A text for people, such as who signed.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def record(
    folder: Path,
    contract: str,
    about: str,
    what: What,
    name: str,
    written: str | None,
    units: Sequence[str],
    given: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Record that ABOUT, a table of CONTRACT, is WHAT: its plan, milestone or resource NAME.

    Recorded again, the same changes nothing; something else under the same id is refused.

        steelyard facts record acme-2026 team changed --units seats=12
        steelyard facts record acme-2026 rollout accepted design --at 2026-11-24
    """
    opened = app.load_studio(folder)
    at_us = SystemClock().wall_us()
    if written is not None:
        found = instant(written, _zone(opened, contract))
        if found is None:
            msg = "write 2026-11-24 or 2026-11-24T09:00"
            raise click.BadParameter(msg, param_hint="--at")
        at_us = found
    event = Event(
        id=given or " ".join(filter(None, [about, what, name, written or str(at_us)])),
        at_us=at_us,
        contract=contract,
        about=about,
        what=what,
        name=name,
        units=_units(units),
        note=note,
    )
    wrong = _wrong(opened, event)
    if wrong is not None:
        fail(wrong[1])
    new = _write(opened, [event])
    if as_json:
        _print_json({"id": event.id, "recorded": bool(new)})
    elif new:
        click.echo(f"recorded: {_sentence(event, _zone(opened, contract))}")
    else:
        click.echo("recorded already; nothing is changed")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def import_(folder: Path, file: Path, as_json: bool) -> None:
    """Record each row of FILE: a table with commas, or one JSON object a line.

    Columns or fields: id, at, contract, about, what, and if wanted name, units ("seats=12 days=3",
    or an object in JSON) and note. All rows are recorded, or none.
    """
    opened = app.load_studio(folder)
    rows, faults = read(file, lambda contract: _zone(opened, contract))
    for row in rows:
        wrong = _wrong(opened, row.event)
        if wrong is not None:
            faults.append((row.line, row.columns.get(wrong[0], 1), wrong[1]))
    if faults:
        for line, column, reason in sorted(faults):
            click.echo(f"{file}:{line}:{column}: {reason}", err=True)
        fail("nothing was recorded")
    new = _write(opened, [row.event for row in rows], _places(file, rows))
    if as_json:
        _print_json({"rows": len(rows), "recorded": len(new)})
    else:
        click.echo(f"{len(new)} recorded, {len(rows) - len(new)} were recorded already")


@command.command("list")
@click.option("--contract", help="Only this contract's.")
@click.option("--about", help="Only what is about this table of it.")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def list_(folder: Path, contract: str | None, about: str | None, as_json: bool) -> None:
    """List what was recorded, in the order in which it happened."""
    opened = app.load_studio(folder)
    found = [
        event
        for event in sorted(_recorded(opened).values(), key=events.order)
        if contract in {None, event.contract} and about in {None, event.about}
    ]
    if as_json:
        shown = [
            msgspec.structs.asdict(each)
            | {"at": periods.from_us(each.at_us, _zone(opened, each.contract)).isoformat()}
            for each in found
        ]
        _print_json(shown)
        return
    table = Table("when", "contract", "about", "what", "", "note", box=box.SIMPLE_HEAD)
    for each in found:
        when = periods.from_us(each.at_us, _zone(opened, each.contract))
        counted = ", ".join(f"{name} {units:,}" for name, units in each.units.items())
        what = f"{each.what} {each.name}".strip()
        row = (f"{when:%Y-%m-%d %H:%M}", each.contract, each.about, what, counted, each.note)
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 120).print(table)


def _recorded(opened: Studio) -> dict[bytes, Event]:
    """What was written down, by the id of its fact; of several with one id the first."""
    found: dict[bytes, Event] = {}
    try:
        for fact in telling.facts(opened.root / "journal"):
            event = events.of_fact(fact)
            if event is not None:
                found.setdefault(fact.fact_id, event)
    except DamageError as exc:
        fail(f"{exc}; `steelyard journal verify` looks at all of the journal")
    return found


def _write(opened: Studio, told: Sequence[Event], places: Sequence[str] = ()) -> list[Fact]:
    """Write down what is new, all of it or nothing. Exits when an id says something else."""
    clock = SystemClock()
    known = _recorded(opened)
    new: list[Fact] = []
    for place, event in enumerate(told):
        fact = events.fact(event, clock.wall_us(), "cli")
        before = known.setdefault(fact.fact_id, event)
        if before != event:
            where = f"{places[place]}: " if places else ""
            zone = _zone(opened, event.contract)
            said = _sentence(before, zone)
            fail(f'{where}"{event.id}" is the id of something else: {said}; give it its own id')
        if before is event:
            new.append(fact)
    if new:
        try:
            with app.open_facts(opened, clock) as journal:
                for fact in new:
                    journal.fact(fact)
        except JournalError as exc:
            fail(str(exc))
    return new


def _wrong(opened: Studio, event: Event) -> tuple[str, str] | None:
    """Why an event can't be recorded: the field, and a sentence."""
    versions = [each for each in opened.edition.contracts if each.id == event.contract]
    if not versions:
        known = {each.id for each in opened.edition.contracts}
        return "contract", f'unknown contract "{event.contract}"{suggestion(event.contract, known)}'
    return fitting.unfit(versions, event)


def _zone(opened: Studio, contract: str) -> str:
    """A contract's zone, in which its times are written; the studio's where there is none."""
    zones = (each.zone for each in opened.edition.contracts if each.id == contract)
    return next(zones, opened.edition.zone)


def _units(written: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in written:
        name, _, number = each.partition("=")
        try:
            found[name] = int(number.replace("_", ""))
        except ValueError as exc:
            msg = f"{each!r} is no count; write seats=12"
            raise click.BadParameter(msg, param_hint="--units") from exc
    return found


def _sentence(event: Event, zone: str) -> str:
    when = periods.from_us(event.at_us, zone)
    counted = "".join(f", {name} {units:,}" for name, units in event.units.items())
    what = f"{event.what} {event.name}".strip()
    return f"{event.contract}, {event.about} {what}{counted}, {when:%Y-%m-%d %H:%M} ({zone})"


def _places(file: Path, rows: Iterable[Row]) -> list[str]:
    return [f"{file}:{row.line}:{row.columns.get('id', 1)}" for row in rows]


def _print_json(found: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(found)))
