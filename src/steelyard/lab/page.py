"""The money report's page: headline, diagram and tables in one file that fetches nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import jinja2
import msgspec

from steelyard.clerk.printing import columns, decimals, digits, environment
from steelyard.lab import flows, sankey
from steelyard.lab.money import MARGIN, MoneyReport, headline, in_words
from steelyard.values.meters import COMPONENTS

WIDTH = 1480
HEIGHT = 680

LABELS_BEFORE = 3
"""Of so many columns the labels stand left of the boxes, where every ribbon is plain."""


NAME_COLUMNS_MAX = 30
"""A longer name is cut in the drawing; the tables have it whole."""


class Earner(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of earners. Unit: pico-units; ``parts_pico`` by component and margin."""

    name: str
    parts_pico: tuple[int, ...]
    total_pico: int


def page(reports: Sequence[MoneyReport], studio: str) -> str:
    """One HTML page for the reports of all currencies, the slide of each before the tables."""
    slides = [
        {
            "report": report,
            "headline": headline(report),
            "drawing": sankey.layout(flows.graph(report), sankey.Frame()),
            "earners": earners(report),
            "places": _places(report),
        }
        for report in reports
    ]
    months = sorted({period for report in reports for period in report.periods})
    return (
        _templates()
        .get_template("money.html")
        .render(
            slides=slides,
            studio=studio,
            when=in_words(months) if months else "",
            columns=flows.COLUMNS,
            components=[flows.COMPONENT_NAMES[each] for each in (*COMPONENTS, MARGIN)],
            labels_before=LABELS_BEFORE,
            frame=sankey.Frame(),
            width=WIDTH,
            height=HEIGHT,
            node_width=sankey.NODE_WIDTH,
            line_height=sankey.LINE_HEIGHT,
        )
    )


def earners(report: MoneyReport) -> list[Earner]:
    """What each earner got by component, the largest first and the operator last."""
    order = (*COMPONENTS, MARGIN)
    parts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(order))
    for each in report.earnings:
        parts[each.party][order.index(each.component)] += each.amount_pico
    rows = sorted(parts.items(), key=lambda row: (row[0] == report.operator, -sum(row[1]), row[0]))
    return [
        Earner(
            name=report.names[f"earner/{party}"],
            parts_pico=tuple(amounts),
            total_pico=sum(amounts),
        )
        for party, amounts in rows
    ]


def _places(report: MoneyReport) -> int:
    amounts = [
        amount
        for sale in report.sales
        for amount in (sale.charged_pico, *sale.costs_pico, sale.margin_pico)
    ]
    return decimals(report.currency, amounts)


def _short(name: str) -> str:
    if columns(name) <= NAME_COLUMNS_MAX:
        return name
    while columns(name) >= NAME_COLUMNS_MAX:
        name = name[:-1]
    return f"{name.rstrip()}…"


def _pixels(hundredths: int) -> str:
    """A length as SVG writes it: ``12.5``."""
    whole, rest = divmod(hundredths, sankey.PIXEL)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".")


def _ribbon(ribbon: sankey.Ribbon) -> str:
    """The outline of a ribbon: there along its upper edge, back along its lower one."""
    middle = (ribbon.x0 + ribbon.x1) // 2
    below0, below1 = ribbon.y0 + ribbon.thick0, ribbon.y1 + ribbon.thick1
    x0, y0, x1, y1, x, b0, b1 = map(
        _pixels, (ribbon.x0, ribbon.y0, ribbon.x1, ribbon.y1, middle, below0, below1)
    )
    return f"M{x0},{y0}C{x},{y0} {x},{y1} {x1},{y1}V{b1}C{x},{b1} {x},{b0} {x0},{b0}Z"


@cache
def _templates() -> jinja2.Environment:
    filters = {"digits": digits, "pixels": _pixels, "short": _short, "ribbon": _ribbon}
    return environment("steelyard.lab", filters)
