"""``steelyard contract``: check, show, compare and explain contracts and what calls cost."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from steelyard import app, studio
from steelyard.catalogue import aloud, offers, wording
from steelyard.catalogue.documents import Contract, Edition, Labels, Tariff
from steelyard.catalogue.items import aloud as items_aloud
from steelyard.catalogue.offers import Called, Offer, Peak
from steelyard.catalogue.phrases import Language, meter, say
from steelyard.catalogue.sheets import Fault, suggestion
from steelyard.cli import contract_templates, due
from steelyard.cli.failing import fail
from steelyard.metering.segments import DamageError
from steelyard.rating.explaining import Explained
from steelyard.rating.lines import Line
from steelyard.store.migrations import SchemaError
from steelyard.studio import Studio, StudioFaults
from steelyard.system import SystemClock
from steelyard.values import ids, money, periods
from steelyard.values.usage import SERVICE_TIERS, STANDARD, THINKING

_FOLDER = "contracts/"
_TOKENS = "_tokens"
_SIDES = {"charge": "charges", "cost": "costs", "deposit": "deposited"}


@click.group("contract")
def command() -> None:
    """Check, show, compare and explain contracts."""


command.add_command(due.command)
command.add_command(contract_templates.command)


@command.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def check(folder: Path, as_json: bool) -> None:
    """Check the contracts alone; print file, line, column and reason of each fault."""
    faults: Sequence[Fault] = ()
    warnings: Sequence[Fault] = ()
    sound = 0
    try:
        opened = studio.load(folder, None)
        warnings = _of_contracts(opened.warnings)
        sound = len(opened.edition.contracts)
    except StudioFaults as exc:
        faults = _of_contracts(exc.faults)
        if not faults:
            fail("the studio is faulty elsewhere: `steelyard check` shows where")
    if as_json:
        _print_json({"sound": not faults, "faults": faults, "warnings": warnings})
    else:
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        for fault in faults:
            click.echo(str(fault))
        if not faults:
            click.echo(f"{sound} version{'' if sound == 1 else 's'} of contracts, all sound")
    if faults:
        raise SystemExit(1)


def _of_contracts(faults: Sequence[Fault]) -> Sequence[Fault]:
    return tuple(each for each in faults if each.file.startswith(_FOLDER))


@command.command("show")
@click.argument("contract")
@click.option("--at", "written", help="A day, 2026-11-24, or an instant; now, without it.")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def show(folder: Path, contract: str, written: str | None, as_json: bool) -> None:
    """Show what CONTRACT charges: prices with the discount already in them, fees and the like."""
    opened = app.load_studio(folder)
    version = _version(opened, contract, written)
    at_us = _instant(written, version.zone)
    found: list[tuple[str, Offer]] = []
    for model in opened.edition.models:
        offer = offers.at(offers.timeline(opened.edition, contract, model.id, ""), at_us)
        if offer is not None and offer.tariff is not None:
            found.append((model.id, offer))
    if as_json:
        items = [{"item": each.id} | msgspec.to_builtins(each) for each in version.items]
        _print_json([*({"model": model} | _plain(offer) for model, offer in found), *items])
        return
    click.echo(f"{version.title} · {version.id} · {version.currency} · from {version.valid_from}")
    table = Table("model", "when", "price", box=box.SIMPLE_HEAD, pad_edge=False)
    for model, offer in found:
        for when, tariff in _prices(opened.edition, contract, model, offer, at_us):
            table.add_row("" if when else model, when, aloud.whole_tariff(tariff, "en"))
    if found:
        Console().print(table)
    for each in version.items:
        click.echo(items_aloud.item(each, version.currency, "en"))


def _prices(
    edition: Edition, contract: str, model: str, usual: Offer, at_us: int
) -> Iterator[tuple[str, Tariff]]:
    """A model's prices: of usual calls, and where they differ, of other service tiers and modes."""
    by_tier, by_mode = offers.depends_on(edition, contract, model)
    seen: list[tuple[Tariff | None, tuple[Peak, ...]]] = []
    for tier in SERVICE_TIERS if by_tier else (STANDARD,):
        for mode in ("", THINKING) if by_mode else ("",):
            called = Called(service_tier=tier, mode=mode)
            offer = offers.at(offers.timeline(edition, contract, model, "", called), at_us)
            if offer is None or offer.tariff is None or (offer.tariff, offer.peaks) in seen:
                continue
            seen.append((offer.tariff, offer.peaks))
            usually = (offer.tariff, offer.peaks) == (usual.tariff, usual.peaks)
            named = Labels(service_tier=tier, mode=mode or None)
            words = [] if usually else wording.labels(named, "en")
            yield ", ".join(words), offer.tariff
            for peak in offer.peaks:
                hours = aloud.hours(edition.holidays, peak.window, "en")
                yield ", ".join([*words, hours]), peak.tariff


def _plain(offer: Offer) -> dict[str, object]:
    return {
        "currency": offer.currency,
        "version": offer.price_version,
        "tariff": offer.tariff,
        "windows": [{"window": peak.window, "tariff": peak.tariff} for peak in offer.peaks],
    }


@command.command("diff")
@click.argument("contract")
@click.argument("older", required=False)
@click.argument("newer", required=False)
@click.option("--zh", "chinese", is_flag=True, help="In Chinese.")
@click.pass_obj
def diff(folder: Path, contract: str, older: str | None, newer: str | None, chinese: bool) -> None:
    """Show what changed in CONTRACT from its version of the day OLDER to that of NEWER.

    Without days, the two newest versions are compared.
    """
    opened = app.load_studio(folder)
    versions = _versions(opened, contract)
    days = [each.valid_from for each in versions]
    if older is None and len(versions) == 1:
        fail(f"{contract} has one version, from {days[0]}: there is nothing to compare")
    picked: list[Contract] = []
    for given, default in ((older, days[max(len(days) - 2, 0)]), (newer, days[-1])):
        wanted = given or default
        if wanted not in days:
            fail(f"{contract} has no version from {wanted}{suggestion(wanted, days)}")
        picked.append(versions[days.index(wanted)])
    language: Language = "zh" if chinese else "en"
    before, after = (aloud.contract(opened.edition, each, language) for each in picked)
    changed = False
    for line in difflib.ndiff(before, after):
        if line[0] in "-+":
            changed = True
            click.echo(line)
    if not changed:
        click.echo("nothing changed")


@command.command("explain")
@click.argument("name", metavar="CONTRACT|CALL")
@click.option("--at", "written", help="Of a contract: the version of a day; now, without it.")
@click.option("--zh", "chinese", is_flag=True, help="In Chinese.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def explain(folder: Path, name: str, written: str | None, chinese: bool, as_json: bool) -> None:
    """Read a contract aloud, or tell step by step how a call's price came about.

    A call is named by its id, as `steelyard journal cat` prints it; a fee or the like by that of
    its lines, as `steelyard contract due --json` prints it.
    """
    opened = app.load_studio(folder)
    language: Language = "zh" if chinese else "en"
    if any(each.id == name for each in opened.edition.contracts):
        sentences = aloud.contract(opened.edition, _version(opened, name, written), language)
        if as_json:
            _print_json({"contract": name, "sentences": sentences})
        else:
            click.echo("\n".join(sentences))
        return
    try:
        call_id = ids.parse(name)
    except ValueError:
        known = {each.id for each in opened.edition.contracts}
        fail(f'"{name}" is neither a contract nor the id of a call{suggestion(name, known)}')
    found = _explained(opened, call_id, language)
    if as_json:
        lines = [msgspec.structs.asdict(each) | {"call_id": name} for each in found.lines]
        _print_json({"call": name, "steps": found.steps, "lines": lines})
        return
    for place, step in enumerate(found.steps, start=1):
        click.echo(f"{place}. {step}")
    if found.lines:
        Console().print(_table(found.lines, language))


def _explained(opened: Studio, call_id: bytes, language: Language) -> Explained:
    try:
        engine = app.open_database(opened)
    except (SchemaError, OperationalError) as exc:
        fail(f"the books can't be opened: {exc}")
    try:
        found = app.explain_call(opened, engine, call_id, language)
    except DamageError as exc:
        fail(f"{exc}; `steelyard journal verify` looks at all of the journal")
    except OSError as exc:
        fail(f"the lines can't be read: {exc}; `steelyard audit` finds the place")
    finally:
        engine.dispose()
    if found is None:
        fail(
            f"no call {ids.text(call_id)} is booked; `steelyard clerk` books what is in the journal"
        )
    return found


def _table(lines: Sequence[Line], language: Language) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("", "", "units", "price", "amount"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for line in lines:
        side = say(language, _SIDES[line.side])
        whose = f"{line.component} {line.party}".strip()
        per_million = line.meter.endswith(_TOKENS)
        price_pico = line.price_pico * (money.PER_MILLION if per_million else 1)
        price = f"{money.exact(price_pico)}{' /1M' if per_million else ''}"
        amount = money.exact(line.amount_pico)
        table.add_row(
            f"{side} {whose}", meter(language, line.meter), f"{line.units:,}", price, amount
        )
    return table


def _versions(opened: Studio, contract: str) -> list[Contract]:
    found = [each for each in opened.edition.contracts if each.id == contract]
    if not found:
        known = {each.id for each in opened.edition.contracts}
        fail(f'unknown contract "{contract}"{suggestion(contract, known)}')
    return sorted(found, key=lambda each: each.valid_from_us)


def _version(opened: Studio, contract: str, written: str | None) -> Contract:
    versions = _versions(opened, contract)
    at_us = _instant(written, versions[0].zone)
    held = [each for each in versions if each.valid_from_us <= at_us]
    if not held:
        fail(f"{contract} is in force from {versions[0].valid_from} on, and not yet then")
    return held[-1]


def _instant(written: str | None, zone: str) -> int:
    """The instant that ``--at`` means; a day begins in the contract's zone."""
    if written is None:
        return SystemClock().wall_us()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as exc:
        msg = f"{written!r} is no date; write 2026-11-24 or 2026-11-24T09:00:00+08:00"
        raise click.BadParameter(msg, param_hint="--at") from exc
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


def _print_json(found: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(found)))
