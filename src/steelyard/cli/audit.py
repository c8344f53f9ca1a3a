"""``steelyard audit``: rebuild the books and compare."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app, covering, machines
from steelyard.clerk.audit import Proof, audit
from steelyard.clerk.difference import DifferenceError
from steelyard.cli.booked import FAULTS
from steelyard.cli.failing import fail
from steelyard.dispatch.leasing import StoreAwayError
from steelyard.store.archive import open_archive
from steelyard.studio import Studio
from steelyard.system import SystemClock
from steelyard.values import money


@click.command("audit")
@click.option("--json", "as_json", is_flag=True, help="Print an object for a machine.")
@click.pass_obj
def command(folder: Path, as_json: bool) -> None:
    """Rebuild the books from journal, documents and closings, and compare.

    Prints what it proved, or where the first difference is.
    """
    opened = app.load_studio(folder)
    begun_ns = time.monotonic_ns()
    try:
        engine = app.open_database(opened)
        try:
            proof = _proof(opened, engine)
        finally:
            engine.dispose()
    except DifferenceError as exc:
        if as_json:
            difference = {"place": exc.place, "reason": exc.reason}
            click.echo(msgspec.json.encode({"whole": False, "difference": difference}))
        else:
            click.echo(f"The books are not whole.\n{exc}")
        raise SystemExit(1) from exc
    except FAULTS as exc:
        fail(str(exc))
    for each in _limits(opened):
        fail(f"shared limits are not what the journal says: {each}")
    took_ms = (time.monotonic_ns() - begun_ns) // 1_000_000
    if as_json:
        whole = {"whole": True, "took_ms": took_ms} | msgspec.structs.asdict(proof)
        click.echo(msgspec.json.format(msgspec.json.encode(whole)))
    else:
        _print(proof, took_ms)


def _limits(opened: Studio) -> list[str]:
    """Where the store of shared limits says something else than the journal."""
    try:
        return covering.check_allowances(opened, SystemClock())
    except StoreAwayError:
        click.echo("steelyard: the store of shared limits is away, and not compared", err=True)
        return []


def _proof(opened: Studio, engine: sa.Engine) -> Proof:
    lines = opened.root / "lines"
    shared = machines.open_shared(opened, engine)
    if shared is not None:
        shared.bring()
    console = Console(stderr=True)
    with console.status("rebuilding the books") as status, open_archive(engine, lines) as archive:
        return audit(
            archive,
            machines.booked_journal(opened),
            opened.root,
            lambda batch: status.update(f"rebuilding the books: batch {batch:,} holds"),
        )


def _print(proof: Proof, took_ms: int) -> None:
    console = Console(width=None if Console().is_terminal else 120)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("proved")
    table.add_column("", justify="right")
    table.add_column("what holds")
    for name, count, what in _rows(proof):
        table.add_row(name, f"{count:,}", what)
    console.print(table)
    totals = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("currency", "charged", "costs", "margin", "deposits", "invoiced", "stated"):
        totals.add_column(name, justify="left" if name == "currency" else "right")
    for currency, found in proof.money.items():
        amounts = (
            found.charged_pico,
            found.cost_pico,
            found.margin_pico,
            found.deposited_pico,
            found.invoiced_pico,
            found.stated_pico,
        )
        totals.add_row(currency, *map(money.exact, amounts))
    if proof.money:
        console.print(totals)
    console.print(f"[bold]The books are whole.[/bold] Rebuilt in {_seconds(took_ms)} s.")
    if proof.unbooked:
        console.print(f"{proof.unbooked:,} records wait for the clerk.")


def _rows(proof: Proof) -> list[tuple[str, int, str]]:
    aside = proof.conflicts + proof.unrated
    return [
        (
            "journal segments",
            proof.segments,
            f"every byte of {proof.journal_bytes:,} accounted for",
        ),
        ("records", proof.records, "read again, checksums and seals right"),
        ("editions", proof.editions, "the documents are those that were recorded"),
        (
            "batches",
            proof.batches,
            "the same ranges give the same hashes, each chained to the last",
        ),
        (
            "calls",
            proof.calls,
            f"each booked once; {proof.duplicates:,} read again, {aside:,} aside",
        ),
        ("facts", proof.facts, "what is no call: each booked once"),
        ("charge lines", proof.lines, f"the same, in {proof.line_bytes:,} bytes of Parquet"),
        ("transfers", proof.transfers, "the same, each currency summing to zero"),
        ("accounts", proof.accounts, "the same balances, every sale split whole"),
        ("closings", proof.closings, "drawn up again with the same amounts"),
        ("documents", proof.documents, "recorded and on the disk as they were issued"),
    ]


def _seconds(took_ms: int) -> str:
    return f"{took_ms // 1000}.{took_ms % 1000 // 100}"
