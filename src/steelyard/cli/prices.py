"""``steelyard prices``: a model's list prices, at a date or through time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from steelyard import app
from steelyard.catalogue import aloud, wording
from steelyard.catalogue.documents import Holidays, ListPrice, PriceBook, Tariff
from steelyard.catalogue.sheets import suggestion
from steelyard.system import SystemClock
from steelyard.values import meters, money, periods

_TOKENS = "_tokens"
_ORDER = list(meters.METERS)


@click.command("prices")
@click.argument("model")
@click.option("--at", "written", help="A day, 2026-11-24, or an instant; now, without it.")
@click.option("--all", "whole", is_flag=True, help="Every price ever listed, not only that one.")
@click.option("--json", "as_json", is_flag=True, help="Print a list for a machine.")
@click.pass_obj
def command(folder: Path, model: str, written: str | None, whole: bool, as_json: bool) -> None:
    """Show what MODEL costs on each list that has it, in the currency of the list.

    Prices are for a million tokens, or for one unit of what is not counted in tokens.
    """
    catalogue = app.load_catalogue(folder)
    known = {each.id for each in catalogue.models}
    if model not in known:
        click.echo(f'unknown model "{model}"{suggestion(model, known)}', err=True)
        raise SystemExit(1)
    at_us = _instant(written)
    found = [(book, _listed(book, model, at_us, whole=whole)) for book in catalogue.books]
    listed = [(book, prices) for book, prices in found if prices]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_plain(*each) for each in listed])))
        return
    if not listed:
        when = "" if written is None else f" at {written}"
        click.echo(f"{model} is on no list{when}.")
        return
    for book, prices in listed:
        _print_book(model, book, prices, catalogue.holidays)


def _instant(written: str | None) -> int:
    """The instant that ``--at`` means; a day without a zone begins in UTC."""
    if written is None:
        return SystemClock().wall_us()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as exc:
        msg = f"{written!r} is no date; write 2026-11-24 or 2026-11-24T09:00:00+08:00"
        raise click.BadParameter(msg, param_hint="--at") from exc
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _listed(book: PriceBook, model: str, at_us: int, *, whole: bool) -> list[ListPrice]:
    """The prices of a book, newest first: all, or the one in force."""
    prices = [each for each in book.prices if each.model == model]
    prices.sort(key=lambda each: -each.from_us)
    if whole:
        return prices
    return [each for each in prices if each.from_us <= at_us][:1]


_LIFETIMES = ("cache_write_5m_tokens", "cache_write_1h_tokens")


def _meters(tariff: Tariff) -> list[str]:
    """The meters of a tariff, without the lifetimes of a cache that cost the same as any."""
    prices = tariff.tiers[0].rates.prices
    whole = prices.get("cache_write_tokens")
    return [
        name
        for name in _ORDER
        if name in prices and not (name in _LIFETIMES and prices[name] == whole)
    ]


def _shown(meter: str, price_pico: int) -> str:
    return money.exact(price_pico * (money.PER_MILLION if meter.endswith(_TOKENS) else 1))


def _since(book: PriceBook, price: ListPrice) -> str:
    moment = periods.from_us(price.from_us, book.zone)
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return moment.date().isoformat()
    return moment.isoformat(sep=" ", timespec="seconds")


def _plain(book: PriceBook, prices: list[ListPrice]) -> dict[str, object]:
    rows = [
        {
            "from": periods.from_us(price.from_us, book.zone).isoformat(),
            "service_tier": price.labels.service_tier,
            "region": price.labels.region,
            "mode": price.labels.mode,
            "boundary": price.tariff.boundary,
            "tiers_are": price.tariff.kind,
            "calendar": price.windows,
            "tiers": [
                {
                    "up_to": tier.up_to,
                    "per_million": {
                        meter: _shown(meter, pico)
                        for meter, pico in tier.rates.prices.items()
                        if meter.endswith(_TOKENS)
                    },
                    "per_unit": {
                        meter: _shown(meter, pico)
                        for meter, pico in tier.rates.prices.items()
                        if not meter.endswith(_TOKENS)
                    },
                }
                for tier in price.tariff.tiers
            ],
            "source": price.source,
            "checked": price.checked,
        }
        for price in prices
    ]
    return {"book": book.id, "vendor": book.vendor, "currency": book.currency, "prices": rows}


def _print_book(
    model: str, book: PriceBook, prices: list[ListPrice], holidays: tuple[Holidays, ...]
) -> None:
    columns = sorted({name for each in prices for name in _meters(each.tariff)}, key=_ORDER.index)
    console = Console()
    per = "per million tokens"
    console.print(
        f"[bold]{model}[/bold] · {book.vendor} [dim]{book.id}[/dim] · {book.currency} {per}"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("from", min_width=10, overflow="fold")
    if any(len(each.tariff.tiers) > 1 for each in prices):
        table.add_column("prompt", justify="right", no_wrap=True)
    tiered = len(table.columns) > 1
    for name in columns:
        short = name.removesuffix(_TOKENS).replace("_", "\n")
        table.add_column(short, justify="right", no_wrap=True)
    table.add_column("checked", no_wrap=True)
    for price in prices:
        for index, tier in enumerate(price.tariff.tiers):
            first = (_since(book, price), price.checked) if index == 0 else ("", "")
            prompt = [_prompt(price.tariff, index)] if tiered else []
            cells = [
                _shown(n, tier.rates.prices[n]) if n in tier.rates.prices else "" for n in columns
            ]
            table.add_row(first[0], *prompt, *cells, first[1])
    console.print(table)
    for price in prices:
        for sentence in _conditions(price, holidays):
            console.print(f"From {_since(book, price)}: {sentence}")
    for source in dict.fromkeys(price.source for price in prices):
        console.print(f"[dim]{source}[/dim]", soft_wrap=True)
    console.print()


def _conditions(price: ListPrice, holidays: tuple[Holidays, ...]) -> list[str]:
    """What a price depends on beside the prompt's length, in sentences."""
    sentences = [aloud.window(holidays, each, "en") for each in price.windows]
    only = wording.labels(price.labels, "en")
    return [f"{', '.join(only)}.", *sentences] if only else sentences


def _prompt(tariff: Tariff, index: int) -> str:
    """Which prompts a tier is for, in words that say on which side its end belongs."""
    if len(tariff.tiers) == 1:
        return "any"
    up_to = tariff.tiers[index].up_to
    if up_to is not None:
        return f"{'≤' if tariff.boundary == 'closed' else '<'} {up_to:,}"
    below = tariff.tiers[index - 1].up_to
    return f"{'>' if tariff.boundary == 'closed' else '≥'} {below:,}"
