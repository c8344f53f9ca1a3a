"""The screen of ``steelyard top``: one pulse, drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steelyard.lab.pulse import Flow, Place, Pulse, Quantiles
from steelyard.values import money

ROWS_MAX = 12
"""Rows of one table; the busiest are shown."""

COLUMNS_WIDE = 96
"""In a narrower terminal a column less is shown."""

SPARKS = "▁▂▃▄▅▆▇█"
NOTHING = "–"

_HUNDRED, _THOUSAND, _TEN_THOUSAND, _MILLION = 100, 1000, 10_000, 1_000_000
_MIB = 1 << 20
_NAME_WIDTH, _FIGURE_WIDTH = 14, 6
_MONEY_DIGITS = 4
_BREAKER_STYLES = {"closed": "green", "half open": "yellow", "open": "bold red"}


def screen(
    pulse: Pulse,
    gateways: Sequence[str],
    columns: int,
    sparks: Iterable[float] = (),
    wrong: str | None = None,
) -> RenderableType:
    """All of it, so many columns wide.

    ``sparks`` are the calls per second of the latest looks, ``wrong`` is what failed.
    """
    wide = columns >= COLUMNS_WIDE
    parts: list[RenderableType] = [_head(pulse, gateways), _totals(pulse, sparks)]
    if wrong is not None:
        parts.append(Text(wrong, style="bold red"))
    tables = [
        _flows("model", pulse.models, wide=wide),
        _flows("customer", pulse.customers, wide=wide),
    ]
    if pulse.deployments:
        tables.append(_places(pulse.deployments))
    for table in tables:
        parts += ["", table]
    if waiting := ", ".join(f"{line} {count}" for line, count in pulse.queues.items() if count):
        parts += ["", Text(f"waiting: {waiting}", style="yellow")]
    if pulse.refusals:
        said = ", ".join(f"{code} {rate(number)}/s" for code, number in pulse.refusals.items())
        parts += ["", Text(f"refused: {said}", style="yellow")]
    return Group(*parts)


def _head(pulse: Pulse, gateways: Sequence[str]) -> Text:
    workers = f"{pulse.workers} worker{'s' if pulse.workers != 1 else ''}"
    text = Text.assemble(("steelyard top", "bold"), f"  {', '.join(gateways)}  ")
    text.append(f"{workers}, {pulse.memory_bytes // _MIB:,} MiB; ", "dim")
    text.append(f"last {pulse.seconds:.0f} s; times p50 / p95 in ms", "dim")
    if pulse.dropped:
        text.append(f"; {pulse.dropped:,} dropped by logs or exporters", "yellow")
    return text


def _totals(pulse: Pulse, sparks: Iterable[float]) -> Text:
    flow = pulse.all
    text = Text()
    for number, unit in (
        (rate(flow.calls), "calls/s"),
        (rate(flow.input_tokens), "tokens in/s"),
        (rate(flow.output_tokens), "tokens out/s"),
        (charged(flow), "charged/s"),
        (str(pulse.in_flight), "in flight"),
        (str(pulse.queued), "queued"),
    ):
        text.append(f"{number} ", "bold")
        text.append(f"{unit}   ", "dim")
    return text.append(sparkline(sparks), "cyan")


def _flows(what: str, flows: Sequence[Flow], *, wide: bool) -> Table:
    failed = ("failed/s",) if wide else ()
    times_of = ("first token", "per token")
    table = _table((what,), ("calls/s", *failed, "in/s", "out/s", "charged/s", *times_of))
    busiest = sorted(flows, key=lambda flow: (-flow.calls, flow.name))
    for flow in busiest[:ROWS_MAX]:
        table.add_row(
            flow.name,
            rate(flow.calls),
            *([_failed(flow.failed)] if wide else []),
            rate(flow.input_tokens),
            rate(flow.output_tokens),
            charged(flow),
            times(flow.first_token_ms),
            times(flow.per_token_ms),
        )
    _more(table, len(busiest))
    return table


def _failed(number: float) -> Text:
    return Text(rate(number), style="red" if number else "dim")


def _places(places: Sequence[Place]) -> Table:
    table = _table(("deployment", "breaker"), ("attempts/s", "failed/s", "in flight"))
    busiest = sorted(places, key=lambda place: (-place.in_flight, -place.attempts, place.name))
    for place in busiest[:ROWS_MAX]:
        breaker = place.breaker or NOTHING
        table.add_row(
            place.name,
            Text(breaker, style=_BREAKER_STYLES.get(breaker, "dim")),
            rate(place.attempts),
            _failed(place.failed),
            str(place.in_flight),
        )
    _more(table, len(busiest))
    return table


def _table(names: Sequence[str], figures: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for place, name in enumerate(names):
        ratio, least = (None, None) if place else (1, _NAME_WIDTH)
        table.add_column(name, no_wrap=True, ratio=ratio, min_width=least, overflow="ellipsis")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True, min_width=_FIGURE_WIDTH)
    return table


def _more(table: Table, count: int) -> None:
    if count > ROWS_MAX:
        table.add_row(f"and {count - ROWS_MAX} more", style="dim")


def rate(number: float) -> str:
    """A number a second in at most five characters or so: ``0``, ``0.03``, ``12.5``, ``3.4k``."""
    if number >= _MILLION:
        return f"{number / _MILLION:.1f}M"
    if number >= _TEN_THOUSAND:
        return f"{number / _THOUSAND:.1f}k"
    return f"{number:,.0f}" if number >= _HUNDRED else f"{number:.3g}"


def times(found: Quantiles) -> str:
    """Half and 19 of 20 of some times: ``210 / 480``, ``2.5 / 12.0 s``."""
    if found.p50 is None or found.p95 is None:
        return NOTHING
    if found.p95 >= _TEN_THOUSAND:
        return f"{found.p50 / _THOUSAND:.1f} / {found.p95 / _THOUSAND:.1f} s"
    return f"{rate(found.p50)} / {rate(found.p95)}"


def charged(flow: Flow) -> str:
    """What is charged each second, in each currency, to about four digits."""
    if flow.charged is None:
        return NOTHING
    return (
        " ".join(
            f"{money.CURRENCY_SIGNS[currency]}{short(text)}"
            for currency, text in flow.charged.items()
        )
        or "0"
    )


def short(text: str) -> str:
    """A decimal text cut to about four digits that say something: ``0.00001234``, ``12.34``."""
    whole, _, fraction = text.partition(".")
    if whole.strip("-0"):
        return f"{whole}.{fraction[:2].ljust(2, '0')}"
    zeros = len(fraction) - len(fraction.lstrip("0"))
    return f"{whole}.{fraction[: zeros + _MONEY_DIGITS]}" if fraction else whole


def sparkline(numbers: Iterable[float]) -> str:
    """The numbers as a line of bars, the highest full."""
    every = list(numbers)
    top = max(every, default=0.0)
    if not top:
        return ""
    return "".join(
        SPARKS[min(int(number / top * len(SPARKS)), len(SPARKS) - 1)] for number in every
    )
