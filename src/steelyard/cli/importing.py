"""``steelyard import``: turn a usage trace into usage records."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

import click
import msgspec
from sqlalchemy.exc import OperationalError

from steelyard import app
from steelyard.catalogue import offers
from steelyard.cli.failing import fail
from steelyard.metering.journal import JournalError, JournalWriter
from steelyard.metering.traces import files, placing
from steelyard.metering.traces.formats import FORMATS
from steelyard.metering.traces.intake import Intake, take
from steelyard.metering.traces.placing import Placement
from steelyard.metering.traces.rows import BadRow, Format
from steelyard.store.migrations import SchemaError
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import periods
from steelyard.values.meters import METERS
from steelyard.values.usage import UsageRecord


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "trace",
    required=True,
    type=click.Choice(list(FORMATS)),
    help="What kind of trace it is; it may be packed with gzip.",
)
@click.option("--contract", required=True, help="The contract that the calls are under.")
@click.option("--customer", help="Whose calls they are.  [default: the contract's customer]")
@click.option(
    "--model", help="The model that was called.  [default: what the trace says, if it does]"
)
@click.option(
    "--by-model",
    "by_model",
    multiple=True,
    metavar="THEIRS=OURS",
    help="What the trace calls a model, and what we call it; may be repeated. "
    "Rows of other models are left out, but with --model.",
)
@click.option("--deployment", default="", help="The deployment that served them.")
@click.option(
    "--start",
    metavar="TIME",
    help="When the trace began, like 2026-11-02T09:00 in the studio's zone. Relative times count "
    "from it; others are shifted, so that the first row is at it.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Take only so many calls.")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(
    folder: Path,
    file: Path,
    *,
    trace: str,
    contract: str,
    customer: str | None,
    model: str | None,
    by_model: Sequence[str],
    deployment: str,
    start: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Turn FILE, a usage trace, into usage records in the journal, for the clerk to book.

    A call's id follows from its row: importing a file again, or a longer one that begins the same,
    adds only what is new. Rows that can't be read are set aside in the studio's folder imports.
    """
    opened = app.load_studio(folder)
    begins_us = _check_parties(opened, contract, customer, deployment)
    placement = Placement(
        edition=0,
        customer=next(each.customer for each in opened.edition.contracts if each.id == contract),
        contract=contract,
        deployment=deployment,
        model=model,
        models=dict(_mapping(each) for each in by_model),
        start_us=None if start is None else _start(start, opened.edition.zone),
        sells=lambda name: offers.sells(opened.edition, contract, name),
    )
    _check_placement(FORMATS[trace], placement)
    placement = msgspec.structs.replace(placement, edition=_record_edition(opened))
    with ExitStack() as stack:
        desk = _Desk(opened, file, begins_us, stack)
        advanced = stack.enter_context(_progress(file))
        items = placing.read(lambda: files.lines(file, advanced), FORMATS[trace], placement)
        try:
            done = take(items, desk.block, desk.aside, limit)
        except JournalError as exc:
            fail(f"{exc}; what was written before is imported")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_as_json(done, desk.bad_path))))
    else:
        _print(done, placement, desk.bad_path, opened.edition.zone)
    if done.stopped_by is not None:
        fail(f"{file}: {done.stopped_by}")
    if not done.calls:
        fail(f"{file}: nothing was imported")


class _Desk:
    """Where an import writes: the journal, and the file of bad rows; each is opened when needed."""

    def __init__(self, opened: Studio, file: Path, begins_us: int, stack: ExitStack) -> None:
        self._opened = opened
        self._file = file
        self._begins_us = begins_us
        self._stack = stack
        self._writer: JournalWriter | None = None
        self._bad: BinaryIO | None = None
        self.bad_path: Path | None = None

    def block(self, records: list[UsageRecord]) -> None:
        """Write records, once the first is seen to be of a time for which there are prices."""
        if self._writer is None:
            if records[0].at_us < self._begins_us:
                when = _when(records[0].at_us, self._opened.edition.zone)
                fail(
                    f"the first call is of {when}, before contract {records[0].contract} was in "
                    "force; say when the trace began, as in --start 2026-11-02T09:00"
                )
            self._writer = self._stack.enter_context(app.open_import(self._opened, SystemClock()))
        self._writer.block(records)

    def aside(self, row: BadRow) -> None:
        """Set a bad row aside, in a file of this import alone."""
        if self._bad is None:
            folder = self._opened.root / "imports"
            folder.mkdir(exist_ok=True)
            names = itertools.chain([""], (f".{number}" for number in itertools.count(2)))
            paths = (folder / f"{self._file.name}{name}.rejected.jsonl" for name in names)
            self.bad_path = next(path for path in paths if not path.exists())
            self._bad = self._stack.enter_context(self.bad_path.open("xb"))
        self._bad.write(msgspec.json.encode(row) + b"\n")


def _check_parties(opened: Studio, contract: str, customer: str | None, deployment: str) -> int:
    """See that the studio knows them; when the contract begins. Unit: µs since 1970 UTC."""
    edition = opened.edition
    versions = [each for each in edition.contracts if each.id == contract]
    if not versions:
        known = ", ".join(sorted({each.id for each in edition.contracts}))
        fail(f"there is no contract {contract}; there are {known}")
    if customer not in {None, versions[0].customer}:
        fail(f"contract {contract} is {versions[0].customer}'s, not {customer}'s")
    known = [each.id for each in edition.deployments]
    if deployment and deployment not in known:
        fail(f"there is no deployment {deployment}; there are {', '.join(known)}")
    return min(each.valid_from_us for each in versions)


def _check_placement(trace: Format, placement: Placement) -> None:
    """See that rows of this format can be placed, before any is read."""
    if not trace.absolute and placement.start_us is None:
        fail(
            f"times in {trace.name} traces are relative; say when the trace began, "
            "as in --start 2026-11-02T09:00"
        )
    if not trace.models and placement.model is None:
        fail(f"{trace.name} traces name no model; say which it was with --model")
    for model in filter(None, [placement.model, *placement.models.values()]):
        if not placement.sells(model):
            fail(f"contract {placement.contract} sells no {model}; add it, or choose another model")


def _record_edition(opened: Studio) -> int:
    try:
        engine = app.open_database(opened)
        try:
            return app.record_edition(opened, engine, SystemClock())
        finally:
            engine.dispose()
    except (OperationalError, SchemaError) as exc:
        fail(str(exc))


def _mapping(written: str) -> tuple[str, str]:
    theirs, equals, ours = written.partition("=")
    if not (theirs and equals and ours):
        msg = f"--by-model {written}: write it like m-large=qwen3-max"
        raise click.UsageError(msg)
    return theirs, ours


def _start(written: str, zone: str) -> int:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as exc:
        msg = f"--start {written}: write it like 2026-11-02T09:00"
        raise click.UsageError(msg) from exc
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


@contextmanager
def _progress(file: Path) -> Generator[Callable[[int], None]]:
    """A bar on a terminal that moves as the file is read."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import console, progress  # noqa: PLC0415 - only a terminal has a bar

    shown = progress.Progress(
        progress.TextColumn(file.name),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
        transient=True,
    )
    with shown:
        task = shown.add_task(file.name, total=file.stat().st_size)
        yield lambda done: shown.update(task, completed=done)


def _print(done: Intake, placement: Placement, bad_path: Path | None, zone: str) -> None:
    if done.first_us is not None and done.last_us is not None:
        click.echo(
            f"{done.calls:,} calls of {placement.customer} under {placement.contract}, "
            f"{_when(done.first_us, zone)} to {_when(done.last_us, zone)}"
        )
    weighed = _weighed(done)
    width = max((len(f"{units:,}") for units in weighed.values()), default=0)
    for meter, units in weighed.items():
        if meter != "requests":
            click.echo(f"  {units:>{width},} {meter}")
    if done.left_out:
        click.echo(f"{done.left_out:,} rows of other models are left out")
    if bad_path is not None:
        click.echo(f"{done.rejected:,} rows are set aside in {bad_path}")
        for row in done.faults:
            click.echo(f"  line {row.line:,}, column {row.column:,}: {row.reason}")
        if done.rejected > len(done.faults):
            click.echo(f"  and {done.rejected - len(done.faults):,} more")
    if done.calls:
        click.echo("They are in the journal; the clerk books them (steelyard clerk --once).")


def _as_json(done: Intake, bad_path: Path | None) -> dict[str, object]:
    def instant(at_us: int | None) -> str | None:
        return None if at_us is None else periods.from_us(at_us).isoformat()

    return {
        "calls": done.calls,
        "rejected": done.rejected,
        "left_out": done.left_out,
        "rejected_file": None if bad_path is None else str(bad_path),
        "first": instant(done.first_us),
        "last": instant(done.last_us),
        "models": done.models,
        "meters": _weighed(done),
    }


def _weighed(done: Intake) -> dict[str, int]:
    """The sums of all meters, in the order in which they are listed everywhere."""
    return {meter: done.meters[meter] for meter in METERS if meter in done.meters}


def _when(at_us: int, zone: str) -> str:
    return f"{periods.from_us(at_us, zone):%Y-%m-%d %H:%M:%S}"
