"""What is ordered of a running studio, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from steelyard import orders
from steelyard.cli.failing import fail
from steelyard.orders import NobodyThereError, Order, Outcome, Verb


def order(folder: Path, verb: Verb, *, as_json: bool) -> None:
    """Give an order to the ``steelyard up`` of a studio, and say what came of it.

    Exits when nothing was done.
    """
    try:
        outcome = orders.give(folder, Order(verb))
    except NobodyThereError as exc:
        fail(str(exc))
    if as_json:
        click.echo(msgspec.json.encode(outcome))
    else:
        for fault in outcome.faults:
            click.echo(fault, err=True)
        click.echo(sentence(outcome), err=bool(outcome.faults))
    if outcome.faults:
        raise SystemExit(1)


def sentence(outcome: Outcome) -> str:
    """What came of an order, for people."""
    if outcome.faults:
        return "Nothing was changed: the studio goes on as it was."
    workers = "1 worker serves" if outcome.workers == 1 else f"{outcome.workers} workers serve"
    parts = [f"{workers} by edition {outcome.edition}"]
    if outcome.ending:
        parts.append(f"{outcome.ending} before them end what they have begun")
    if outcome.at_restart:
        parts.append(f"{', '.join(outcome.at_restart)}: at the next `steelyard restart`")
    if outcome.at_start:
        parts.append(f"{', '.join(outcome.at_start)}: when `steelyard up` is started anew")
    return "; ".join(parts) + "."
