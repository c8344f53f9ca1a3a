"""``steelyard correct``: take calls back, or say what their meters should have counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from steelyard.catalogue.sheets import suggestion
from steelyard.cli import ordering
from steelyard.cli.close import read_month
from steelyard.rating.corrections import Amend, Rescale, Reverse, Scope
from steelyard.values.meters import METERS


@click.group("correct")
def command() -> None:
    """Take calls back, or say what their meters should have counted.

    Nothing booked is edited: the difference is booked, and names what it corrects.
    """


@command.command("reverse")
@click.argument("calls", nargs=-1, required=True)
@click.option("--keep-costs", is_flag=True, help="What they cost us stays.")
@ordering.options
@click.pass_obj
def reverse(
    folder: Path,
    calls: tuple[str, ...],
    keep_costs: bool,
    reason: str,
    dry_run: bool,
    book: bool,
    as_json: bool,
) -> None:
    """Take CALLS back, as if they had not been made.

    Where they had used up a grant, or pushed later calls into another tier, those are rated again
    by the same run.
    """
    scope, change = ordering.named_calls(calls), Reverse(keep_costs)
    ordering.carry_out(
        folder,
        lambda _: (scope, change),
        reason=reason,
        dry_run=dry_run,
        book=book,
        as_json=as_json,
    )


@command.command("amend")
@click.argument("calls", nargs=-1, required=True)
@click.option(
    "--meter", "meters", multiple=True, required=True, metavar="NAME=UNITS", help="May be repeated."
)
@ordering.options
@click.pass_obj
def amend(
    folder: Path,
    calls: tuple[str, ...],
    meters: Sequence[str],
    reason: str,
    dry_run: bool,
    book: bool,
    as_json: bool,
) -> None:
    """Say what the meters of CALLS should have counted; those not named stay."""
    scope, counts = ordering.named_calls(calls), dict(map(_count, meters))
    ordering.carry_out(
        folder,
        lambda _: (scope, Amend(counts)),
        reason=reason,
        dry_run=dry_run,
        book=book,
        as_json=as_json,
    )


@command.command("rescale")
@click.option(
    "--meter",
    "meters",
    multiple=True,
    required=True,
    metavar="NAME=FRACTION",
    help="As in output_tokens=1/2; may be repeated.",
)
@click.option("--period", help="Calls made in this month, 2026-02, in their contract's zone.")
@click.option("--model", default="*", help="Models like this shell pattern.")
@click.option("--deployment", default="*", help="Deployments like this shell pattern.")
@ordering.options
@click.pass_obj
def rescale(
    folder: Path,
    meters: Sequence[str],
    period: str | None,
    model: str,
    deployment: str,
    reason: str,
    dry_run: bool,
    book: bool,
    as_json: bool,
) -> None:
    """Multiply what an upstream counted by another scale; counts are rounded half to even."""
    month = None if period is None else str(read_month(period))
    scope = Scope(period=month, model=model, deployment=deployment)
    factors = dict(map(_factor, meters))
    ordering.carry_out(
        folder,
        lambda _: (scope, Rescale(factors)),
        reason=reason,
        dry_run=dry_run,
        book=book,
        as_json=as_json,
    )


def _count(text: str) -> tuple[str, int]:
    name, value = _named(text)
    if not value.isascii() or not value.isdigit():
        msg = f"{text!r} is no count; write it like output_tokens=512"
        raise click.BadParameter(msg, param_hint="--meter")
    return name, int(value)


def _factor(text: str) -> tuple[str, tuple[int, int]]:
    name, value = _named(text)
    above, _, below = value.partition("/")
    if not (above.isdigit() and (below or "1").isdigit() and int(below or "1")):
        msg = f"{text!r} is no fraction; write it like output_tokens=1/2"
        raise click.BadParameter(msg, param_hint="--meter")
    return name, (int(above), int(below or "1"))


def _named(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if name not in METERS:
        msg = f'there is no meter "{name}"{suggestion(name, METERS)}'
        raise click.BadParameter(msg, param_hint="--meter")
    return name, value
