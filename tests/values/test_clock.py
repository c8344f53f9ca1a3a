"""A vigil: what counts as waited for. The past: what is over, by a clock that may jump."""

from __future__ import annotations

import pytest

from steelyard.values.clock import FixedClock, Past, Vigil

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


HOUR_US = 3_600_000_000
PASTS = [
    # what happens, hour after hour, to a clock that stood at noon; up to which hour all is over
    ("nothing is known", [], 0),
    ("an hour passes", [("pass", 1)], 12),
    ("less than an hour", [("pass", 0.5)], 0),
    ("two looks, an hour each", [("pass", 1), ("pass", 1)], 13),
    ("it jumps forth", [("set", 100), ("pass", 0.5)], 0),
    ("it jumps forth, and back in time", [("set", 100), ("pass", 0.5), ("set", -100)], 0),
    ("and is back when it is believed", [("set", 100), ("pass", 1), ("set", -100)], 12),
    ("it was wrong from the beginning", [("set", -5), ("pass", 1)], 7),
    ("it jumps back for good", [("pass", 1), ("set", -5), ("pass", 1), ("pass", 1)], 12),
    ("it jumps forth for good", [("pass", 1), ("set", 5), ("pass", 1), ("pass", 1)], 19),
]


@pytest.mark.parametrize(("steps", "hour"), [row[1:] for row in PASTS], ids=[r[0] for r in PASTS])
def test_what_is_over_for_certain(steps, hour):
    clock = FixedClock(12 * HOUR_US)
    past = Past(clock, HOUR_US)
    past.look()
    for what, hours in steps:
        (clock.advance if what == "pass" else clock.step)(int(hours * HOUR_US))
        past.look()
    assert past.until_us == hour * HOUR_US
