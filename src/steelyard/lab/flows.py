"""Flows: a money report as a graph in five columns, whose nodes let out what they take in.

Where a sale cost more than it brought, the operator carried the difference: that flows from a node
beside the customers through the contract and the model to whoever earned it. The margin and the
operator take in what the other sales left; what they are left with is that less what was carried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from steelyard.lab.money import MARGIN, MoneyReport, Sale, percent, signed
from steelyard.values import money
from steelyard.values.meters import COMPONENTS

COLUMNS = ("Customers", "Contracts", "Models", "What it pays for", "Earners")

NODES_MAX = 10
"""The most nodes of a column that are drawn by name; the smallest beyond that become one."""

CARRIED = "carried"
"""The operator as a source: what it carried of sales that cost more than they brought."""

COMPONENT_NAMES = {
    "model": "Model developers",
    "compute": "Compute",
    "storage": "Storage",
    "network": "Network",
    "scheduling": "Scheduling",
    MARGIN: "Margin",
}

_RESOLUTION = 10**6


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A box of the diagram: ``notes`` are the lines below its name, ``tone`` names its colour.

    Unit: ``amount_pico`` pico-units, what flows through it.
    """

    key: str
    name: str
    notes: tuple[str, ...]
    title: str
    tone: str
    amount_pico: int


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A ribbon from a node to one of the next column. Unit: pico-units, positive."""

    source: str
    target: str
    title: str
    tone: str
    amount_pico: int


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of nodes from left to right, each from top to bottom, and what flows between."""

    columns: tuple[tuple[Node, ...], ...]
    links: tuple[Link, ...]


class _Worth(msgspec.Struct, kw_only=True):
    """What a node stands for: its own amount, and what the operator carried of it."""

    name: str
    tone: str
    own_pico: int = 0
    carried_pico: int = 0


_Flows = dict[tuple[str, str, str], int]
"""Amounts by source, target and tone. Unit: pico-units."""


def graph(report: MoneyReport, nodes_max: int = NODES_MAX) -> Graph:
    """The diagram of a report."""
    worths = _worths(report)
    flows = _flows(report)
    alias: dict[str, str] = {}
    drawn: list[dict[str, _Worth]] = []
    for column in worths:
        folded, names = _fold(column, nodes_max)
        drawn.append(folded)
        alias |= names
    joined: _Flows = defaultdict(int)
    for (source, target, tone), amount_pico in flows.items():
        joined[alias[source], alias[target], tone] += amount_pico
    ordered = _ordered(drawn, joined)
    places = {key: place for keys in ordered for place, key in enumerate(keys)}
    names = {key: worth.name for column in drawn for key, worth in column.items()}
    return Graph(
        columns=tuple(
            tuple(_node(key, column[key], joined, report) for key in keys)
            for keys, column in zip(ordered, drawn, strict=True)
        ),
        links=tuple(
            Link(
                source=source,
                target=target,
                title=f"{names[source]} → {names[target]}: {_exact(amount_pico, report)}",
                tone=tone,
                amount_pico=amount_pico,
            )
            for (source, target, tone), amount_pico in sorted(
                joined.items(), key=lambda item: (places[item[0][0]], places[item[0][1]], item[0])
            )
            if amount_pico
        ),
    )


def _lost(sale: Sale) -> int:
    return max(0, -sale.margin_pico)


def _worths(report: MoneyReport) -> list[dict[str, _Worth]]:
    """What each node of each column stands for."""
    customers, contracts, models, components, earners = (
        dict[str, _Worth](),
        dict[str, _Worth](),
        dict[str, _Worth](),
        dict[str, _Worth](),
        dict[str, _Worth](),
    )
    for sale in report.sales:
        customer, contract = f"customer/{sale.customer}", f"contract/{sale.contract}"
        named = (
            (customers, customer, report.names[customer]),
            (contracts, contract, report.names[contract]),
            (models, f"model/{sale.model}", sale.model),
        )
        for column, key, name in named:
            worth = column.setdefault(key, _Worth(name=name, tone="plain"))
            worth.own_pico += sale.charged_pico
            worth.carried_pico += 0 if column is customers else _lost(sale)
    if report.carried_pico:
        customers[CARRIED] = _Worth(
            name="Carried by the operator", tone=CARRIED, own_pico=report.carried_pico
        )
    for each in report.earnings:
        component, earner = f"component/{each.component}", f"earner/{each.party}"
        named = (
            (components, component, COMPONENT_NAMES[each.component], each.component),
            (earners, earner, report.names[earner], "plain"),
        )
        for column, key, name, tone in named:
            worth = column.setdefault(key, _Worth(name=name, tone=tone))
            worth.own_pico += each.amount_pico
            worth.carried_pico += report.carried_pico if each.component == MARGIN else 0
    return [customers, contracts, models, components, earners]


def _flows(report: MoneyReport) -> _Flows:
    flows: _Flows = defaultdict(int)
    for sale in report.sales:
        contract, model = f"contract/{sale.contract}", f"model/{sale.model}"
        flows[f"customer/{sale.customer}", contract, "plain"] += sale.charged_pico
        flows[contract, model, "plain"] += sale.charged_pico
        if _lost(sale):
            flows[CARRIED, contract, CARRIED] += _lost(sale)
            flows[contract, model, CARRIED] += _lost(sale)
        for component, cost_pico in zip(COMPONENTS, sale.costs_pico, strict=True):
            if cost_pico:
                flows[model, f"component/{component}", component] += cost_pico
        flows[model, f"component/{MARGIN}", MARGIN] += max(0, sale.margin_pico)
    for each in report.earnings:
        kept_pico = report.carried_pico if each.component == MARGIN else 0
        component, earner = f"component/{each.component}", f"earner/{each.party}"
        flows[component, earner, each.component] += each.amount_pico + kept_pico
    return flows


def _fold(column: Mapping[str, _Worth], nodes_max: int) -> tuple[dict[str, _Worth], dict[str, str]]:
    """The column with its smallest nodes made one, and which node each is drawn as."""
    if len(column) <= nodes_max:
        return dict(column), {key: key for key in column}
    fixed = [key for key in column if key == CARRIED]
    by_size = sorted(
        (key for key in column if key != CARRIED),
        key=lambda key: (-column[key].own_pico - column[key].carried_pico, key),
    )
    kept = by_size[: nodes_max - 1 - len(fixed)]
    rest = by_size[len(kept) :]
    others = f"others/{rest[0]}"
    worth = _Worth(
        name=f"{len(rest)} others",
        tone="plain",
        own_pico=sum(column[key].own_pico for key in rest),
        carried_pico=sum(column[key].carried_pico for key in rest),
    )
    folded = {key: column[key] for key in kept} | {others: worth}
    folded |= {key: column[key] for key in fixed}
    return folded, {key: key for key in (*kept, *fixed)} | dict.fromkeys(rest, others)


def _ordered(columns: Sequence[Mapping[str, _Worth]], flows: _Flows) -> list[list[str]]:
    """Each column from top to bottom: the largest customers first, then near their sources."""
    first = columns[0]
    ordered = [
        sorted(
            first,
            key=lambda key: (key == CARRIED, key.startswith("others/"), -first[key].own_pico, key),
        )
    ]
    for place, column in enumerate(columns[1:], start=1):
        above = {key: row for row, key in enumerate(ordered[-1])}
        if place == COLUMNS.index("What it pays for"):
            fixed = [f"component/{name}" for name in (*COMPONENTS, MARGIN)]
            ordered.append([key for key in fixed if key in column])
        else:
            heights = {key: _height(key, above, flows) for key in column}
            rows = sorted((heights[key], -column[key].own_pico, key) for key in column)
            ordered.append([key for _, _, key in rows])
    return ordered


def _height(key: str, above: Mapping[str, int], flows: _Flows) -> int:
    """Where the middle of a node's sources stands; at the bottom when it has none."""
    sources = [(above[s], amount) for (s, t, _), amount in flows.items() if t == key and amount]
    whole = sum(amount for _, amount in sources)
    if not whole:
        return len(above) * _RESOLUTION
    return sum(row * amount for row, amount in sources) * _RESOLUTION // whole


def _node(key: str, worth: _Worth, flows: _Flows, report: MoneyReport) -> Node:
    taken = sum(amount for (_, target, _), amount in flows.items() if target == key)
    given = sum(amount for (source, _, _), amount in flows.items() if source == key)
    assert not (taken and given) or taken == given, f"{key} takes in {taken} and lets out {given}"
    return Node(
        key=key,
        name=worth.name,
        notes=tuple(_notes(key, worth, report)),
        title=_title(key, worth, report),
        tone=worth.tone,
        amount_pico=max(taken, given),
    )


def _notes(key: str, worth: _Worth, report: MoneyReport) -> list[str]:
    own = signed(worth.own_pico, report.currency)
    carried = signed(worth.carried_pico, report.currency)
    # Less than half a coin is in the title and in the tables, but not beside the node.
    visible = money.round_total(worth.carried_pico, report.currency).paid_pico
    if visible and not _earns(key):
        return [f"{own} + {carried} carried"]
    shared = worth.own_pico and key != CARRIED
    share = percent(worth.own_pico, report.charged_pico) if shared else ""
    own = " · ".join(filter(None, (own, share)))
    return [own, *([f"after {carried} carried"] if visible else [])]


def _title(key: str, worth: _Worth, report: MoneyReport) -> str:
    said = f"{worth.name}: {_exact(worth.own_pico, report)}"
    if not worth.carried_pico:
        return said
    return (
        f"{said} {'after' if _earns(key) else 'and'} {_exact(worth.carried_pico, report)} carried"
    )


def _earns(key: str) -> bool:
    return key.startswith(("component/", "earner/"))


def _exact(amount_pico: int, report: MoneyReport) -> str:
    places = money.CURRENCY_PLACES[report.currency]
    return f"{money.grouped(amount_pico, places)} {report.currency}"
