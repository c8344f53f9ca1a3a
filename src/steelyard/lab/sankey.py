"""Sankey: where the boxes and ribbons of a graph of flows stand. Whole numbers throughout.

Unit: hundredths of a pixel.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from steelyard.lab.flows import Graph, Link, Node

PIXEL = 100

NODE_WIDTH = 12 * PIXEL
NODE_HEIGHT_MIN = 2 * PIXEL
NODE_GAP = 12 * PIXEL
LINE_HEIGHT = 16 * PIXEL


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The space of a drawing; labels of the first column stand left of it, all others right."""

    left: int = 200 * PIXEL
    right: int = 1250 * PIXEL
    top: int = 34 * PIXEL
    bottom: int = 672 * PIXEL


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """A node where it stands; ``x`` and ``y`` are its upper left corner."""

    node: Node
    column: int
    x: int
    y: int
    width: int
    height: int


class Ribbon(msgspec.Struct, frozen=True, kw_only=True):
    """A link where it runs: from ``y0`` at ``x0`` to ``y1`` at ``x1``, so thick at each end."""

    link: Link
    x0: int
    y0: int
    thick0: int
    x1: int
    y1: int
    thick1: int


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """Boxes and ribbons, in the order in which they are drawn."""

    boxes: tuple[Box, ...]
    ribbons: tuple[Ribbon, ...]


def layout(graph: Graph, frame: Frame) -> Drawing:
    """Place a graph in a frame: heights are as amounts, columns as high as they fit."""
    whole = max(sum(node.amount_pico for node in column) for column in graph.columns)
    height = _height(graph, frame, whole)
    boxes: dict[str, Box] = {}
    last = len(graph.columns) - 1
    for place, column in enumerate(graph.columns):
        x = frame.left + (frame.right - frame.left - NODE_WIDTH) * place // last
        y = frame.top + (frame.bottom - frame.top - _taken(column, height, whole)) // 2
        for node in column:
            boxes[node.key] = Box(
                node=node,
                column=place,
                x=x,
                y=y + (_slot(node, height, whole) - NODE_GAP - _thick(node, height, whole)) // 2,
                width=NODE_WIDTH,
                height=_thick(node, height, whole),
            )
            y += _slot(node, height, whole)
    return Drawing(
        boxes=tuple(boxes.values()), ribbons=tuple(_ribbons(graph, boxes, height, whole))
    )


def _scaled(amount_pico: int, height: int, whole: int) -> int:
    return amount_pico * height // whole if whole else 0


def _thick(node: Node, height: int, whole: int) -> int:
    return max(NODE_HEIGHT_MIN, _scaled(node.amount_pico, height, whole))


def _slot(node: Node, height: int, whole: int) -> int:
    """The height that a node and its label take, and the gap below."""
    label = LINE_HEIGHT * (1 + len(node.notes))
    return max(label, _thick(node, height, whole)) + NODE_GAP


def _taken(column: tuple[Node, ...], height: int, whole: int) -> int:
    return sum(_slot(node, height, whole) for node in column) - NODE_GAP


def _height(graph: Graph, frame: Frame, whole: int) -> int:
    """The largest height of the whole amount with which every column fits, by bisection."""
    low, high = 0, frame.bottom - frame.top
    while low < high:
        middle = (low + high + 1) // 2
        fits = all(
            _taken(column, middle, whole) <= frame.bottom - frame.top for column in graph.columns
        )
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _ribbons(graph: Graph, boxes: dict[str, Box], height: int, whole: int) -> list[Ribbon]:
    given: defaultdict[str, int] = defaultdict(int)
    taken: defaultdict[str, int] = defaultdict(int)
    arriving = sorted(graph.links, key=lambda link: boxes[link.source].y)
    ends: dict[int, tuple[int, int]] = {}
    for link in arriving:
        start = taken[link.target]
        taken[link.target] += link.amount_pico
        ends[id(link)] = (start, taken[link.target])
    made: list[Ribbon] = []
    for link in sorted(graph.links, key=lambda link: boxes[link.target].y):
        source, target = boxes[link.source], boxes[link.target]
        start = given[link.source]
        given[link.source] += link.amount_pico
        y0, after0 = (_scaled(each, height, whole) for each in (start, given[link.source]))
        y1, after1 = (_scaled(each, height, whole) for each in ends[id(link)])
        made.append(
            Ribbon(
                link=link,
                x0=source.x + source.width,
                y0=source.y + y0,
                thick0=after0 - y0,
                x1=target.x,
                y1=target.y + y1,
                thick1=after1 - y1,
            )
        )
    return made
