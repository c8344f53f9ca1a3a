"""``steelyard rerate``: rate calls again under corrected documents."""

from __future__ import annotations

from pathlib import Path

import click

from steelyard.clerk import unpriced as waiting
from steelyard.cli import ordering
from steelyard.cli.booked import Booked
from steelyard.cli.close import read_month
from steelyard.cli.facts_file import instant
from steelyard.cli.failing import fail
from steelyard.rating import corrections
from steelyard.rating.corrections import Change, Rerate, Scope


@click.command("rerate")
@click.option("--period", help="Calls made in this month, 2026-02, in their contract's zone.")
@click.option("--from", "since", help="Calls since then: 2026-02-11, or 2026-02-11T20:14:03.")
@click.option("--until", help="Calls before then.")
@click.option("--customer", default="*", help="Customers like this shell pattern.")
@click.option("--contract", default="*", help="Contracts like this shell pattern.")
@click.option("--model", default="*", help="Models like this shell pattern.")
@click.option("--unpriced", is_flag=True, help="Only calls that were set aside without a price.")
@click.option("--under", type=int, help="The edition to rate under.  [default: as they stand now]")
@ordering.options
@click.pass_obj
def command(
    folder: Path,
    period: str | None,
    since: str | None,
    until: str | None,
    customer: str,
    contract: str,
    model: str,
    unpriced: bool,
    under: int | None,
    reason: str,
    dry_run: bool,
    book: bool,
    as_json: bool,
) -> None:
    """Rate calls again under corrected documents, and book the difference.

    Correct the price or the contract in its file first: that is a new edition, and this rates
    calls as if it had been there. What was invoiced stays as issued; a closed month gets a credit
    or a debit note, and its earners a statement more. Under the same documents nothing changes.

        steelyard rerate --period 2026-02 --model glm-5 --reason "listed at 0" --dry-run
    """
    month = None if period is None else str(read_month(period))

    def ordered(books: Booked) -> tuple[Scope, Change]:
        number = books.edition if under is None else under
        if number not in books.standing.editions([number]):
            fail(f"there is no edition {number}; the documents as they stand are {books.edition}")
        zone = books.studio.settings.studio.zone
        scope = Scope(
            calls=_unpriced(books) if unpriced else (),
            period=month,
            from_us=_instant(since, zone, "--from"),
            until_us=_instant(until, zone, "--until"),
            customer=customer,
            contract=contract,
            model=model,
        )
        return scope, Rerate(number)

    ordering.carry_out(folder, ordered, reason=reason, dry_run=dry_run, book=book, as_json=as_json)


def _unpriced(books: Booked) -> tuple[str, ...]:
    found = waiting.calls(books.standing)
    if not found:
        click.echo("No call waits for a price.")
        raise SystemExit(0)
    if len(found) > corrections.CALLS_MAX:
        click.echo(f"The first {corrections.CALLS_MAX:,} of {len(found):,} calls.", err=True)
    return tuple(each.hex() for each in found[: corrections.CALLS_MAX])


def _instant(text: str | None, zone: str, option: str) -> int | None:
    if text is None:
        return None
    found = instant(text, zone)
    if found is None:
        msg = f"{text!r} is no date or time; write it like 2026-02-11 or 2026-02-11T20:14:03"
        raise click.BadParameter(msg, param_hint=option)
    return found
