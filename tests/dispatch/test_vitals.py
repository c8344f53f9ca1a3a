"""Vitals: averages of what was measured, the newest weighing most, the old forgotten."""

from __future__ import annotations

import pytest

from steelyard.dispatch.vitals import STALE_US, Vitals

MEASURED = [
    # (first token, rest, output tokens) one after the other, how long 10 tokens take
    ([], None),
    ([(1000, 900, 10)], 1000 + 100 * 10),
    ([(1000, 0, 1)], 1000),
    ([(1000, 900, 10), (1800, 900, 10)], 1100 + 100 * 10),
    ([(None, 900, 9)], 100 * 10),
    ([(1000, 900, 10), (None, 1000, 10)], 1000 + 100 * 10),
]


@pytest.mark.parametrize(("answers", "expected_us"), MEASURED)
def test_how_long_an_answer_takes(answers, expected_us):
    vitals = Vitals()
    for first_us, rest_us, tokens in answers:
        vitals.measure(first_us, rest_us, tokens, 5)
    assert vitals.expected_us(10, 5) == expected_us
    assert vitals.expected_us(10, 6 + STALE_US) is None


def test_after_a_while_measuring_begins_anew():
    vitals = Vitals()
    vitals.measure(1000, 900, 10, 0)
    vitals.measure(5000, 900, 10, STALE_US + 1)
    assert vitals.first_token_us == 5000
