"""``steelyard journal``: read, verify and summarise the journal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.metering import inspection, segments
from steelyard.metering.frames import Item, Seal
from steelyard.metering.inspection import Inspected, Stats
from steelyard.metering.segments import Damage, DamageError, Segment
from steelyard.values import ids, periods
from steelyard.values.facts import Fact
from steelyard.values.usage import Announcement, UsageRecord

_FOLLOW_S = 0.2
_SHORT = {
    "input_tokens": "in",
    "cached_input_tokens": "cached",
    "cache_write_tokens": "cache written",
    "output_tokens": "out",
    "reasoning_tokens": "thought",
}
_UNSAID = {"requests", "ingress_bytes", "egress_bytes", "compute_ms"}
"""Meters that every call has, which a line for people leaves out."""


class Entry(NamedTuple):
    """One thing in the journal, and where it is."""

    segment: str
    offset: int
    what: Announcement | UsageRecord | Fact | Seal


class Wanted(NamedTuple):
    """What of the journal is shown. Unit: ``since_us`` µs since 1970-01-01 UTC."""

    customer: str | None
    model: str | None
    since_us: int | None
    all: bool


@click.group("journal")
def command() -> None:
    """Read, verify and summarise the journal."""


@command.command("cat")
@click.option("--customer", help="Only this customer's calls.")
@click.option("--model", help="Only calls of models like this shell pattern.")
@click.option("--since", help="Only calls since then: 2026-11-24, or 2026-11-24T08:30+08:00.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@click.option("--all", "everything", is_flag=True, help="Show announcements, facts and seals too.")
@click.option("--follow", is_flag=True, help="Go on as the journal grows, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one object a line for a machine.")
@click.pass_obj
def cat(
    folder: Path,
    customer: str | None,
    model: str | None,
    since: str | None,
    limit: int | None,
    everything: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the calls in the journal, in the order in which they are booked."""
    opened = app.load_studio(folder)
    zone = opened.settings.studio.zone
    wanted = Wanted(customer, model, None if since is None else _instant(since, zone), everything)
    damages: dict[str, Damage] = {}
    shown = 0
    try:
        for entry in _entries(opened.root / "journal", damages, follow=follow):
            if not _is_wanted(entry.what, wanted):
                continue
            click.echo(_json(entry) if as_json else _line(entry, zone))
            shown += 1
            if shown == limit:
                break
    except KeyboardInterrupt:
        pass
    if damages:
        raise SystemExit(1)


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def verify(folder: Path, as_json: bool) -> None:
    """Read every byte of the journal, and name each that is not as it was written."""
    opened = app.load_studio(folder)
    root = opened.root / "journal"
    found = [*inspection.verify(root)]
    damages = [each for each in found if isinstance(each, Damage)]
    whole = [each for each in found if isinstance(each, Inspected)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_verdict(whole, damages))))
    else:
        _print_verdict(whole, damages)
    if damages:
        raise SystemExit(1)


@command.command("stats")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def stats(folder: Path, as_json: bool) -> None:
    """Sum up what the journal holds."""
    opened = app.load_studio(folder)
    found = inspection.stats(opened.root / "journal")
    if as_json:
        plain = msgspec.structs.asdict(found) | {"damages": [*map(_damage, found.damages)]}
        click.echo(msgspec.json.format(msgspec.json.encode(plain)))
    else:
        _print_stats(found, opened.settings.studio.zone)
    for damage in found.damages:
        click.echo(f"steelyard: {damage}", err=True)
    if found.damages:
        raise SystemExit(1)


def _entries(root: Path, damages: dict[str, Damage], *, follow: bool) -> Iterator[Entry]:
    """Everything in the journal; with ``follow``, also what comes. Damage is told once."""
    read_to: dict[str, int] = {}
    while True:
        for segment in segments.segments(root):
            if segment.name in damages or read_to.get(segment.name) == -1:
                continue
            try:
                for offset, end, item in segments.read(segment.path, read_to.get(segment.name, 0)):
                    read_to[segment.name] = -1 if isinstance(item, Seal) else end
                    yield from _each(segment, offset, item)
            except DamageError as exc:
                damages[segment.name] = exc.damage
                click.echo(f"steelyard: {exc}", err=True)
        if not follow:
            return
        time.sleep(_FOLLOW_S)


def _each(segment: Segment, offset: int, item: Item) -> Iterator[Entry]:
    for what in item if isinstance(item, tuple) else (item,):
        yield Entry(segment.name, offset, what)


def _is_wanted(what: Announcement | UsageRecord | Fact | Seal, wanted: Wanted) -> bool:
    if not isinstance(what, UsageRecord) and not wanted.all:
        return False
    if wanted.since_us is not None and what.at_us < wanted.since_us:
        return False
    if isinstance(what, Seal | Fact):
        return wanted.customer is None and wanted.model is None
    if wanted.customer is not None and what.customer != wanted.customer:
        return False
    return wanted.model is None or fnmatchcase(what.model, wanted.model)


def _instant(text: str, zone: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        msg = f"{text!r} is no date or time; write it like 2026-11-24 or 2026-11-24T08:30"
        raise click.BadParameter(msg, param_hint="--since") from exc
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return periods.to_us(moment)


def _json(entry: Entry) -> bytes:
    what = entry.what
    plain = msgspec.structs.asdict(what)
    if isinstance(what, Seal):
        kind, plain["sha256"] = "seal", what.sha256.hex()
    elif isinstance(what, Fact):
        kind, plain["fact_id"] = "fact", ids.text(what.fact_id)
        plain = {"fact_kind": plain.pop("kind")} | plain | {"body": msgspec.Raw(what.body.encode())}
    else:
        kind = "announcement" if isinstance(what, Announcement) else "record"
        plain["call_id"] = ids.text(what.call_id)
        plain["tries"] = [msgspec.structs.asdict(each) for each in what.tries]
        plain["shadow_of"] = None if what.shadow_of is None else ids.text(what.shadow_of)
    where = {"kind": kind, "segment": entry.segment, "offset": entry.offset}
    at = periods.from_us(what.at_us).isoformat(timespec="microseconds")
    return msgspec.json.encode(where | {"at": at} | plain)


def _line(entry: Entry, zone: str) -> str:
    what = entry.what
    at = _moment(what.at_us, zone)
    if isinstance(what, Seal):
        by = "recovery" if what.recovered else "its writer"
        return f"{at}  {entry.segment} sealed by {by}: {what.records:,} records"
    if isinstance(what, Fact):
        return f"{at}  {ids.text(what.fact_id)}  {what.kind} {what.body}"
    if isinstance(what, Announcement):
        state, counts = "announced", what.expected
    else:
        state, counts = what.outcome, what.meters
        if what.shadow_of is not None:
            state, counts = "shadow", what.produced or {}
    meters = ", ".join(
        f"{units:,} {_SHORT.get(name, name.replace('_', ' '))}"
        for name, units in counts.items()
        if name not in _UNSAID
    )
    call = ids.text(what.call_id)
    return f"{at}  {call}  {what.customer:<12}  {what.model:<22}  {state:<11}  {meters or '-'}"


def _moment(at_us: int, zone: str) -> str:
    return periods.from_us(at_us, zone).strftime("%Y-%m-%d %H:%M:%S")


def _damage(damage: Damage) -> dict[str, object]:
    path = damage.path
    return {
        "segment": f"{path.parent.name}/{path.name}",
        "offset": damage.offset,
        "reason": damage.reason,
    }


def _verdict(whole: list[Inspected], damages: list[Damage]) -> dict[str, object]:
    return {
        "whole": not damages,
        "segments": [
            {
                "segment": each.segment,
                "bytes": each.bytes,
                "frames": each.frames,
                "records": each.records,
                "sealed": each.seal is not None,
                "recovered": each.seal is not None and each.seal.recovered,
                "torn_bytes": each.torn,
            }
            for each in whole
        ],
        "damages": [*map(_damage, damages)],
    }


def _print_verdict(whole: list[Inspected], damages: list[Damage]) -> None:
    console = Console()
    writers: dict[str, list[Inspected]] = {}
    for each in whole:
        writers.setdefault(each.segment.partition("/")[0], []).append(each)
    if writers:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("writer", "segments", "bytes", "records", "last segment"):
            table.add_column(name, justify="right" if name in _NUMBERS else "left")
        for writer, each in writers.items():
            table.add_row(
                writer,
                f"{len(each):,}",
                f"{sum(one.bytes for one in each):,}",
                f"{sum(one.records for one in each):,}",
                _state(each[-1]),
            )
        console.print(table)
    for damage in damages:
        console.print(f"[bold red]damaged[/bold red] {damage}", soft_wrap=True, highlight=False)
    total = sum(each.bytes for each in whole)
    if damages:
        count = len(damages)
        console.print(
            f"{count} damage{'s' * (count > 1)}; what is before each can be read, and "
            f"{len(whole):,} other segments are whole."
        )
    elif whole:
        console.print(f"[bold]The journal is whole.[/bold] {total:,} bytes, all accounted for.")
    else:
        console.print(_EMPTY)


_NUMBERS = {"segments", "bytes", "records"}
_EMPTY = "The journal is empty: no call was made, and nothing was imported."


def _state(last: Inspected) -> str:
    if last.seal is None:
        torn = f", {last.torn:,} bytes of an unfinished write" if last.torn else ""
        return f"open: being written, or waiting for recovery{torn}"
    if not last.seal.recovered:
        return "sealed"
    cut = f", {last.seal.cut:,} bytes of an unfinished write cut" if last.seal.cut else ""
    return f"sealed by recovery{cut}"


def _print_stats(found: Stats, zone: str) -> None:
    console = Console()
    if found.first_us is None or found.last_us is None:
        console.print(_EMPTY)
        return
    console.print(
        f"[bold]{found.records:,} calls[/bold] from {_moment(found.first_us, zone)} "
        f"to {_moment(found.last_us, zone)}, {zone}"
    )
    console.print(
        f"{found.segments:,} segments, {found.sealed:,} of them sealed, {found.bytes:,} bytes; "
        f"calls without an end yet: {found.running:,}"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("")
    table.add_column("count", justify="right")
    groups: tuple[tuple[str, Counter[str]], ...] = (
        ("outcome", found.outcomes),
        ("origin", found.origins),
        ("customer", found.customers),
        ("model", found.models),
        ("meter, units", found.meters),
        ("counts taken from", found.sources),
    )
    for title, counts in groups:
        for place, (name, count) in enumerate(counts.most_common()):
            last = place == len(counts) - 1
            table.add_row("" if place else title, name, f"{count:,}", end_section=last)
    console.print(table)
