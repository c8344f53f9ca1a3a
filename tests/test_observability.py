"""The dashboard asks for metrics and labels that there are, and its panels fit the screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from steelyard.edge.telemetry.families import FAMILIES, Family

DASHBOARD = Path(__file__).parents[1] / "observability" / "grafana.json"
GRID = 24

NAME = re.compile(r"\bsteelyard_\w+")
SELECTED = re.compile(r"(steelyard_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return msgspec.json.decode(DASHBOARD.read_bytes())


def family(name: str) -> Family | None:
    """The metric that a name belongs to; a histogram has three names."""
    if name in FAMILIES:
        return None if FAMILIES[name].kind == "histogram" else FAMILIES[name]
    found = FAMILIES.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return found if found is not None and found.kind == "histogram" else None


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each panel's title, expression and legend."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def faults(expression: str, legend: str) -> list[str]:
    """What an expression asks for that there is not."""
    names = set(NAME.findall(expression))
    found = [f"no metric {name}" for name in sorted(names) if family(name) is None]
    labels = {"worker", "le"}
    for known in filter(None, map(family, names)):
        labels |= set(known.labels)
    for name, matchers in SELECTED.findall(expression):
        known = family(name)
        has = {"worker", "le", *(known.labels if known else ())}
        found += [
            f"{name} has no {label}" for label in MATCHER.findall(matchers) if label not in has
        ]
    grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
    found += [f"no label {label}" for label in sorted(grouped - labels)]
    return found + [f"no legend {each}" for each in LEGEND.findall(legend) if each not in grouped]


def test_every_query_asks_for_what_there_is(dashboard):
    asked = list(queries(dashboard))
    assert len(asked) > 20
    broken = [f"{title}: {each}" for title, expr, legend in asked for each in faults(expr, legend)]
    assert not broken, "\n".join(broken)


BROKEN = [
    ("rate(steelyard_nothing_total[1m])", ""),
    ("rate(steelyard_call_duration_seconds[1m])", ""),
    ('sum(rate(steelyard_calls_total{meter="x"}[1m]))', ""),
    ("sum by (colour) (rate(steelyard_calls_total[1m]))", ""),
    ("sum by (model) (rate(steelyard_calls_total[1m]))", "{{customer}}"),
]


@pytest.mark.parametrize(("expression", "legend"), BROKEN)
def test_a_query_can_be_wrong(expression, legend):
    assert faults(expression, legend)


def test_every_metric_is_on_the_dashboard_but_the_version(dashboard):
    text = " ".join(expression for _, expression, _ in queries(dashboard))
    unseen = [name for name in FAMILIES if name not in text]
    assert unseen == ["steelyard_worker_info"]


def test_panels_have_their_own_place(dashboard):
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= GRID
        mine = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not mine & taken, panel["title"]
        taken |= mine


def test_variables_take_their_values_from_metrics(dashboard):
    variables = dashboard["templating"]["list"]
    asked = [each["definition"] for each in variables if each["type"] == "query"]
    assert asked == [f"label_values(steelyard_calls_total, {n})" for n in ("model", "customer")]
