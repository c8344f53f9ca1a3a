"""``steelyard top``: what the studio does now, in a terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
from rich.console import Console
from rich.live import Live
from sqlalchemy.exc import OperationalError

from steelyard import app, studio
from steelyard.catalogue.documents import Edition
from steelyard.clerk import bought
from steelyard.cli.failing import fail
from steelyard.cli.top_screen import screen
from steelyard.lab import asking, scrapes
from steelyard.lab import pulse as lab
from steelyard.lab.asking import UnreadableError
from steelyard.lab.pulse import Pulse, Sold
from steelyard.lab.scrapes import NotMetricsError, Scrape
from steelyard.lab.takings import Standing, Takings
from steelyard.store.books import Books
from steelyard.store.migrations import SchemaError
from steelyard.studio import Studio
from steelyard.values import periods

WINDOW_S = 10.0
"""Over how long rates are taken: short enough to see a change, long enough to see a quiet model."""

SPARKS_MAX = 60
_AHEAD_US = 366 * 24 * 3_600_000_000
"""How far ahead the terms of fees are looked at; who looks longer begins again."""


class Look(NamedTuple):
    """What was seen at one moment; ``sold`` is since the look before, None where nobody rates."""

    at_s: float
    scrape: Scrape
    sold: list[Sold] | None


@click.command("top")
@click.option(
    "--url",
    "urls",
    multiple=True,
    help="A gateway, as in http://127.0.0.1:8080; may be given again. The studio's, without it.",
)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 60),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look twice, print what went on in between, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a look, for a machine.")
@click.pass_obj
def command(folder: Path, urls: tuple[str, ...], every_s: float, once: bool, as_json: bool) -> None:
    """Show calls, tokens and money per second, by model and customer, until Ctrl-C.

    Rates are those of the last ten seconds. Money is what the journal's new records are charged,
    by the same rating as the books; without the studio's folder there is none.
    """
    opened = app.load_studio(folder) if (folder / studio.MAIN_FILE).exists() else None
    gateways = list(urls) or [_url(opened)]
    with _takings(opened) as takings:
        try:
            if once:
                looks = deque([_look(gateways, takings)])
                time.sleep(every_s)
                looks.append(_look(gateways, takings))
                _print(_pulse(looks), gateways, as_json=as_json)
            else:
                _go_on(gateways, takings, every_s, as_json=as_json)
        except UnreadableError as exc:
            fail(str(exc))
        except KeyboardInterrupt:
            return


def _go_on(
    gateways: Sequence[str], takings: Takings | None, every_s: float, *, as_json: bool
) -> None:
    looks = deque([_look(gateways, takings)])
    sparks: deque[float] = deque(maxlen=SPARKS_MAX)
    console = Console()
    if as_json:
        while True:
            time.sleep(every_s)
            _next(looks, gateways, takings)
            _print(_pulse(looks), gateways, as_json=True)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        live.update(screen(_pulse(looks), gateways, console.width), refresh=True)
        while True:
            time.sleep(every_s)
            wrong = None
            try:
                _next(looks, gateways, takings)
                recent = deque(list(looks)[-2:])
                sparks.append(_pulse(recent).all.calls)
            except UnreadableError as exc:
                wrong = str(exc)
            live.update(screen(_pulse(looks), gateways, console.width, sparks, wrong), refresh=True)


def _next(looks: deque[Look], gateways: Sequence[str], takings: Takings | None) -> None:
    looks.append(_look(gateways, takings))
    while looks[-1].at_s - looks[min(1, len(looks) - 1)].at_s >= WINDOW_S:
        looks.popleft()


def _look(gateways: Sequence[str], takings: Takings | None) -> Look:
    try:
        scrape = scrapes.merged(scrapes.read(url, asking.metrics(url)) for url in gateways)
    except NotMetricsError as exc:
        raise UnreadableError(str(exc)) from exc
    return Look(time.monotonic(), scrape, None if takings is None else takings.more())


def _pulse(looks: deque[Look]) -> Pulse:
    first, last = looks[0], looks[-1]
    sold = [each for look in list(looks)[1:] for each in look.sold or ()]
    return lab.pulse(
        scrapes.changed(first.scrape, last.scrape),
        None if last.sold is None else sold,
        last.at_s - first.at_s,
    )


def _print(pulse: Pulse, gateways: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(pulse))
    else:
        console = Console(width=None if Console().is_terminal else 120, highlight=False)
        console.print(screen(pulse, gateways, console.width))


@contextmanager
def _takings(opened: Studio | None) -> Generator[Takings | None]:
    """What follows the journal of a studio; None where there is no studio here."""
    if opened is None:
        yield None
        return
    try:
        engine = app.open_database(opened)
        try:
            books = app.open_books(engine)

            def editions(numbers: Iterable[int]) -> Mapping[int, Edition]:
                found = {number: each for number, (_, each) in books.editions(numbers).items()}
                ahead_us = periods.to_us(datetime.now(UTC)) + _AHEAD_US
                return bought.documents(found, lambda: [f.fact for f in books.facts()], ahead_us)

            yield Takings(opened.root / "journal", _standing(books), editions)
        finally:
            engine.dispose()
    except (OperationalError, SchemaError) as exc:
        fail(str(exc))


def _standing(books: Books) -> Standing:
    """Where the books stand, read while the clerk booked nothing."""
    while True:
        head = books.head()
        first_open = periods.month(head.first_open) if head.first_open else None
        found = Standing(books.cursors(), books.counters(head.first_open), first_open)
        if books.head() == head:
            return found


def _url(opened: Studio | None) -> str:
    if opened is None:
        fail(f"there is no {studio.MAIN_FILE} here; give --url, or --studio before `top`")
    settings = opened.settings.gateway
    if not settings.port:
        fail("the studio's port is 0, so any; name the gateway by --url")
    return asking.url(settings.host, settings.port)
