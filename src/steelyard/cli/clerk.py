"""``steelyard clerk``: book what is in the journal."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from steelyard import app, machines
from steelyard.clerk.dedupe import FACT_CONFLICT
from steelyard.clerk.run import Clerk, ClerkTakenError, Outcome, claim
from steelyard.clerk.shipping import ObjectsError
from steelyard.cli import watching
from steelyard.cli.booked import FAULTS
from steelyard.cli.failing import fail
from steelyard.covering import Keeping
from steelyard.metering.recovery import Recovery
from steelyard.metering.segments import Damage
from steelyard.store.books import Books
from steelyard.store.leases import LeaseLostError
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import ids
from steelyard.values.facts import Fact
from steelyard.values.usage import UsageRecord

AWAY_S = 1.0
"""How long is waited before what was away is tried again."""

SET_ASIDE_MAX = 1000
"""How many records that were set aside are listed, the latest."""


@click.command("clerk")
@click.option("--once", is_flag=True, help="Book what is there and end.")
@click.option("--set-aside", is_flag=True, help="List what was read and has no lines, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print lines for a machine.")
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input closes.")
@click.pass_obj
def command(folder: Path, once: bool, set_aside: bool, as_json: bool, supervised: bool) -> None:
    """Book what is in the journal, and go on as it grows.

    Ends at Ctrl-C or SIGTERM, after the batch at hand. Killed at any point, the next one goes on.
    Of several machines that share their journals one clerk has its turn, and the others wait.
    """
    opened = app.load_studio(folder)
    try:
        engine = app.open_database(opened)
        try:
            if set_aside:
                _list_set_aside(app.open_books(engine), as_json)
                return
            work = _Work(opened, engine)
            if once:
                _once(work, as_json)
            else:
                _go_on(work, as_json=as_json, supervised=supervised)
        finally:
            engine.dispose()
    except FAULTS as exc:
        fail(str(exc))


class _Work:
    """The clerk's work, for as long as it is this one's turn."""

    def __init__(self, opened: Studio, engine: sa.Engine) -> None:
        self.opened = opened
        self._engine = engine
        self._shared = machines.open_shared(opened, engine)
        self._keeping = Keeping(opened.root, SystemClock())

    def keep(self) -> Recovery | None:
        """Keep shared limits true to the journal; a shipper does, should there be one."""
        return self._keeping.keep() if self._shared is None else None

    @contextmanager
    def turn(self) -> Generator[Clerk | None]:
        """The clerk; None where machines share their journals and another's has its turn."""
        clock = SystemClock()
        if self._shared is None:
            with claim(app.clerk_lock(self.opened)):
                yield app.open_clerk(self.opened, self._engine, clock)
            return
        with self._shared.turn() as turn:
            yield turn and turn.clerk(clock)


def _once(work: _Work, as_json: bool) -> None:
    report = _Report()
    with work.turn() as clerk:
        if clerk is None:
            msg = "the clerk of another machine has its turn; it books what was shipped"
            raise ClerkTakenError(msg)
        recovered = clerk.recover()
        report.recovery(recovered)
        with Console(stderr=True).status("booking") as status:
            outcome = clerk.drain(lambda batch: status.update(f"booked batch {batch.number:,}"))
    report.damages(outcome.damages)
    if as_json:
        click.echo(_json(outcome))
    else:
        click.echo(sentence(outcome))
    if outcome.damages or recovered.damages:
        raise SystemExit(1)


def _go_on(work: _Work, *, as_json: bool, supervised: bool) -> None:
    stopping = watching.stopping(supervised=supervised)
    report = _Report()

    def told(found: Recovery | Outcome) -> None:
        if isinstance(found, Recovery):
            report.recovery(found)
            return
        report.damages(found.damages)
        if as_json and found.batches:
            click.echo(_json(found))
        elif found.batches and not supervised:
            click.echo(sentence(found))

    pause_s = work.opened.settings.clerk.poll_ms / 1000
    ready = not (supervised or as_json)
    keep = work.keep
    while not stopping.is_set():
        try:
            with work.turn() as clerk:
                if not ready:
                    click.echo(msgspec.json.encode({"ready": True}))
                    ready = True
                if clerk is not None:
                    clerk.run(told, stopping.is_set, lambda: stopping.wait(pause_s), keep)
        except LeaseLostError as exc:
            report.say(f"{exc}; waiting for another turn")
        except (ObjectsError, OperationalError) as exc:
            report.say(f"{exc}; booking goes on when it is there again")
            stopping.wait(AWAY_S)
        stopping.wait(pause_s)


def _list_set_aside(books: Books, as_json: bool) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("batch", "call", "why", "contract", "model"):
        table.add_column(name)
    found = books.set_aside(SET_ASIDE_MAX)
    for batch, each in found:
        plain = {"batch": batch, "call": ids.text(each.call_id), "reason": each.reason}
        if each.reason == FACT_CONFLICT:
            fact = msgspec.msgpack.decode(each.record, type=Fact)
            said = msgspec.structs.asdict(fact) | {"fact_id": ids.text(fact.fact_id)}
            if as_json:
                click.echo(msgspec.json.encode({**plain, "fact": said}))
            table.add_row(str(batch), ids.text(fact.fact_id), each.reason, fact.kind, fact.body)
            continue
        record = msgspec.msgpack.decode(each.record, type=UsageRecord)
        if as_json:
            click.echo(msgspec.json.encode({**plain, "record": _plain(record)}))
        else:
            call = ids.text(each.call_id)
            table.add_row(str(batch), call, each.reason, record.contract, record.model)
    if as_json:
        return
    if not found:
        click.echo("Nothing is set aside.")
    else:
        Console().print(table)
    if len(found) == SET_ASIDE_MAX:
        click.echo(f"These are the latest {SET_ASIDE_MAX}; there may be more.")


def _plain(record: UsageRecord) -> Mapping[str, object]:
    return msgspec.structs.asdict(record) | {"call_id": ids.text(record.call_id)}


def sentence(outcome: Outcome) -> str:
    """What was booked, for people."""
    if not outcome.batches:
        return "nothing to book"
    batches = f"{outcome.batches:,} batch{'es' if outcome.batches > 1 else ''}"
    parts = [f"booked {outcome.calls:,} calls in {batches}: {outcome.lines:,} lines"]
    if outcome.duplicates:
        parts.append(f"{outcome.duplicates:,} were booked before")
    if outcome.conflicts:
        parts.append(f"{outcome.conflicts:,} contradict a booked call (see --set-aside)")
    if outcome.unrated:
        parts.append(f"{outcome.unrated:,} have no price (see --set-aside)")
    return "; ".join(parts)


class _Report:
    """Tells people what went wrong, each thing once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def recovery(self, found: Recovery) -> None:
        """Say what killed writers had left."""
        for each in found.recovered:
            if each.closed or each.cut:
                self.say(
                    f"{each.segment}: its writer was killed; {each.closed} calls closed as "
                    f"interrupted, {each.cut} bytes of an unfinished write cut"
                )
        self.damages(found.damages)

    def damages(self, found: tuple[Damage, ...]) -> None:
        """Say where the journal can't be read."""
        for each in found:
            self.say(f"{each}; what follows in this segment is not booked")

    def say(self, what: str) -> None:
        """Say something that was not said before."""
        if what not in self._told:
            self._told.add(what)
            click.echo(f"steelyard: {what}", err=True)


def _json(outcome: Outcome) -> bytes:
    plain = msgspec.structs.asdict(outcome) | {"damages": [str(each) for each in outcome.damages]}
    return msgspec.json.encode(plain)
