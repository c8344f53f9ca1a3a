"""Small things of pages: sizes, and amounts in a column."""

from __future__ import annotations

import pytest

from steelyard.console import pages


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (3 << 20, "3 MiB"), (5 << 40, "5,242,880 MiB")],
)
def test_sizes_are_read_at_a_glance(size_bytes, text):
    assert pages.size(size_bytes) == text


@pytest.mark.parametrize(
    ("text", "column", "room"),
    [
        ("1.5", ["1.5", "2.125"], "00"),
        ("500", ["500", "499.99"], ".00"),
        ("2.125", ["1.5"], ""),
        ("7", ["", "8"], ""),
    ],
)
def test_points_stand_below_each_other(text, column, room):
    assert pages.aligned(text, column) == f'{text}<span class="pad">{room}</span>'


def test_no_amount_is_a_dash():
    assert pages.aligned("", ["1.5"]) == "–"
