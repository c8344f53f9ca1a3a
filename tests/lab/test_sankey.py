from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.lab import flows, sankey
from steelyard.lab import money as lab
from steelyard.lab.page import page
from steelyard.rating.lines import LineSum
from steelyard.values.meters import COMPONENTS

FRAME = sankey.Frame()

_ROW = st.tuples(
    st.integers(0, 30),  # customer
    st.integers(0, 1),  # contract
    st.integers(0, 20),  # model
    st.sampled_from(["charge", *COMPONENTS]),
    st.integers(0, 15),  # earner
)


@st.composite
def line_sums(draw: st.DrawFn) -> list[LineSum]:
    """A month of many or few customers, some of whose sales cost more than they bring."""
    amounts = st.one_of(st.just(0), st.integers(1, 10**3), st.integers(1, 10**22))
    rows = draw(st.dictionaries(_ROW, amounts, min_size=1, max_size=60))
    return [
        LineSum(
            period="2026-11",
            side="charge" if kind == "charge" else "cost",
            customer=f"c{customer}",
            contract=f"c{customer}-{contract}",
            model=f"m{model}",
            component="" if kind == "charge" else kind,
            party=f"c{customer}" if kind == "charge" else f"e{earner}",
            meter="requests",
            price_pico=amount,
            currency="CNY",
            version="v@2026-01-01",
            units=1,
            amount_pico=amount,
            calls=1,
        )
        for (customer, contract, model, kind, earner), amount in rows.items()
    ]


def check_flows(graph: flows.Graph) -> None:
    """What flows into a node flows out of it, and into a column what leaves the one before."""
    taken, given_out = defaultdict(int), defaultdict(int)
    place = {node.key: row for row, column in enumerate(graph.columns) for node in column}
    for link in graph.links:
        assert link.amount_pico > 0
        assert place[link.target] == place[link.source] + 1
        taken[link.target] += link.amount_pico
        given_out[link.source] += link.amount_pico
    for row, column in enumerate(graph.columns):
        for node in column:
            if row > 0:
                assert node.amount_pico == taken[node.key], node.key
            if row < len(graph.columns) - 1:
                assert node.amount_pico == given_out[node.key], node.key
    wholes = {sum(node.amount_pico for node in column) for column in graph.columns}
    assert len(wholes) == 1


def check_drawing(drawing: sankey.Drawing) -> None:
    """Nothing leaves the frame or overlaps, and the ribbons tile the side of their boxes."""
    columns = defaultdict(list)
    for box in drawing.boxes:
        columns[box.column].append(box)
        assert box.x >= FRAME.left
        assert box.x + box.width <= FRAME.right
    for boxes in columns.values():
        boxes.sort(key=lambda box: box.y)
        assert boxes[0].y >= FRAME.top
        assert boxes[-1].y + boxes[-1].height <= FRAME.bottom
        for upper, lower in pairwise(boxes):
            assert upper.y + upper.height < lower.y
            labels = sankey.LINE_HEIGHT * (2 + len(upper.node.notes) + len(lower.node.notes))
            middles = (2 * lower.y + lower.height) - (2 * upper.y + upper.height)
            assert middles >= labels, "labels overlap"
    by_key = {box.node.key: box for box in drawing.boxes}
    ends = defaultdict(list)
    for ribbon in drawing.ribbons:
        ends["from", ribbon.link.source].append((ribbon.y0, ribbon.thick0))
        ends["to", ribbon.link.target].append((ribbon.y1, ribbon.thick1))
    for (_, key), spans in ends.items():
        spans.sort()
        y = by_key[key].y
        for start, thick in spans:
            assert start == y
            y += thick
        assert y <= by_key[key].y + by_key[key].height


@given(line_sums())
def test_each_node_lets_out_what_it_takes_in(november, sums):
    for report in lab.reports(sums, november.edition):
        graph = flows.graph(report)
        check_flows(graph)
        assert all(len(column) <= flows.NODES_MAX for column in graph.columns)
        check_drawing(sankey.layout(graph, FRAME))


def test_november_is_drawn(november):
    for report in lab.reports(november.sums, november.edition):
        graph = flows.graph(report)
        check_flows(graph)
        check_drawing(sankey.layout(graph, FRAME))


def test_what_the_operator_carries_is_shown(november):
    [cny, _] = lab.reports(november.sums, november.edition)
    graph = flows.graph(cny)
    notes = {node.key: node.notes for column in graph.columns for node in column}
    assert notes["carried"] == ("¥17.07",)
    assert notes["customer/campus"] == ("¥0.00",)
    assert notes["contract/campus-free"] == ("¥0.00 + ¥17.07 carried",)
    assert notes["component/margin"] == ("¥294.67 · 39 %", "after ¥17.07 carried")
    assert notes["earner/orchard"] == ("¥312.79 · 42 %", "after ¥17.07 carried")
    red = {(link.source, link.target) for link in graph.links if link.tone == "carried"}
    assert red == {
        ("carried", "contract/campus-free"),
        ("contract/campus-free", "model/smollm2-135m"),
    }


def test_small_nodes_become_one_in_the_drawing_and_never_in_the_table(november):
    sums = [
        LineSum(
            period="2026-11",
            side="charge",
            customer=f"customer-{number}",
            contract=f"contract-{number}",
            model="qwen3-max",
            component="",
            party=f"customer-{number}",
            meter="requests",
            price_pico=10**12,
            currency="CNY",
            version="v@2026-01-01",
            units=number,
            amount_pico=number * 10**12,
            calls=1,
        )
        for number in range(1, 31)
    ]
    [report] = lab.reports(sums, november.edition)
    customers = flows.graph(report).columns[0]
    assert [node.name for node in customers[:2]] == ["customer-30", "customer-29"]
    assert customers[-1].name == "21 others"
    assert customers[-1].notes == ("¥231.00 · 50 %",)
    text = page([report], "Orchard")
    assert all(f"<td>customer-{number}</td>" in text for number in range(1, 31))


@pytest.fixture(scope="module")
def written(november):
    return page(lab.reports(november.sums, november.edition), "Orchard Model Studio")


def test_the_page_reads_as_it_should(written, golden):
    golden("report/money.html", written)


def test_the_page_fetches_and_runs_nothing(written):
    assert not re.search(r"https?:|//|<script|<link|<img|@import|url\(|\son\w+=", written)


def test_the_page_shows_exact_amounts(written):
    assert "Alibaba Cloud: 55.2100836 CNY" in written
    assert "glm-4.6 → Model developers: 137.3166544 CNY" in written
    assert written.count("<svg") == 2


def test_a_long_or_wild_name_is_cut_and_escaped(november):
    [charge, *_] = november.sums
    name = '<script>"A & B"</script> of a very long name'
    names = {"customer/acme": name, "contract/acme-2026": "x", "earner/orchard": "艾" * 40}
    [report] = lab.reports([charge], november.edition)
    text = page([msgspec.structs.replace(report, names=names)], "Orchard")
    assert "<script" not in text
    assert ">&lt;script&gt;&#34;A &amp; B&#34;&lt;/script&gt; of a…<" in text
    assert f"{'艾' * 14}…" in text
