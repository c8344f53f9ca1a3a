"""Plots: lines over a few values, as SVG that reads well on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 960, 420
LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 56, 96, 380, 250, 100
COLOURS = ("#1b7f5c", "#c2571a", "#5b6bbf")
INK, GRID = "#2b2f36", "#d9dce1"
TICKS = 5


class Series(NamedTuple):
    """A line: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """A plot of some lines; ``mark`` is a level to compare them with, and what it is."""

    title: str
    x_title: str
    series: Sequence[Series]
    y_min: float = 0
    y_max: float = 1
    mark: tuple[float, str] | None = None


def draw(title: str, panels: Sequence[Panel]) -> str:
    """Panels side by side under a title, with one legend."""
    look = f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {look}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
        _text(LEFT, 30, title, size=16, weight=600),
    ]
    x = LEFT
    for colour, series in zip(COLOURS, panels[0].series, strict=False):
        parts.append(f'<path d="M{x} 50h22" stroke="{colour}" stroke-width="3"/>')
        parts.append(_text(x + 29, 54.5, series.name))
        x += 60 + 7 * len(series.name)
    for place, panel in enumerate(panels):
        parts += _panel(panel, LEFT + place * (PANEL_WIDTH + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: float) -> list[str]:
    xs = sorted({x for series in panel.series for x, _ in series.points})
    bottom, span = TOP + PANEL_HEIGHT, panel.y_max - panel.y_min

    def across(x: float) -> float:
        return left + PANEL_WIDTH * xs.index(x) / max(1, len(xs) - 1)

    def down(y: float) -> float:
        return bottom - PANEL_HEIGHT * (y - panel.y_min) / span

    parts = [_text(left, TOP - 14, panel.title, weight=600)]
    for tick in range(TICKS + 1):
        level = panel.y_min + span * tick / TICKS
        y = down(level)
        parts.append(f'<path d="M{left} {y:.1f}h{PANEL_WIDTH}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y + 4.5, f"{level:g}", anchor="end"))
    parts += [_text(across(x), bottom + 20, f"{x:g}", anchor="middle") for x in xs]
    parts.append(_text(left + PANEL_WIDTH / 2, bottom + 42, panel.x_title, anchor="middle"))
    if panel.mark is not None:
        y = down(panel.mark[0])
        dashed = f'stroke="{INK}" stroke-dasharray="5 4"'
        parts.append(f'<path d="M{left} {y:.1f}h{PANEL_WIDTH}" {dashed}/>')
        parts.append(_text(left + PANEL_WIDTH, y - 7, panel.mark[1], anchor="end"))
    for colour, series in zip(COLOURS, panel.series, strict=False):
        dots = [(across(x), down(y)) for x, y in series.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in dots]
    return parts


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
