"""A vigil: what counts as waited for."""

from __future__ import annotations

import pytest

from steelyard.values.clock import Vigil

WAITS = [
    # looks, deadline set at the first, is it over
    ([0, 1, 2], 2, False),
    ([0, 1, 2, 3], 2, True),
    ([0, 60], 2, False),  # nobody looked: a minute that nobody waited
    ([0, 60, 61], 2, True),
    ([0, 60, 120, 180], 5, True),
    ([0, 60, 120], 5, False),
]


@pytest.mark.parametrize(("looks", "deadline_s", "over"), WAITS)
def test_time_in_which_nobody_looked_is_not_waited(looks, deadline_s, over):
    vigil = Vigil(1)
    for at_s in looks:
        vigil.look(at_s)
    assert vigil.is_over(deadline_s) is over


def test_a_rest_does_not_count():
    vigil = Vigil(1)
    vigil.look(0)
    vigil.look(1)
    vigil.rest()
    vigil.look(100)
    assert vigil.now_s == 1
