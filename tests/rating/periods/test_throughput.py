from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from steelyard.catalogue.items.kinds import Throughput
from steelyard.rating.periods.throughput import expiries
from steelyard.rating.periods.told import Told
from steelyard.values import periods
from steelyard.values.events import Event

ZONE = "Asia/Shanghai"
PTU = Throughput(id="ptu", title="PTU", model="qwen3.8-max", per="day", input_pico=1, output_pico=1)


@pytest.mark.parametrize(
    ("ordered", "ends", "stops", "released"),
    [
        # when, days     ends at            stops by            given up
        (["11-10 09:00 1"], "11-11 00:00", "11-11 02:00", "11-11 14:00"),
        (["11-10 21:59 1"], "11-11 00:00", "11-11 02:00", "11-11 14:00"),
        (["11-10 22:00 1"], "11-12 00:00", "11-12 02:00", "11-12 14:00"),
        (["11-10 23:59 3"], "11-14 00:00", "11-14 02:00", "11-14 14:00"),
        (["11-30 23:00 1"], "12-02 00:00", "12-02 02:00", "12-02 14:00"),
        # ordered again before it is given up, also in the 14 hours: it goes on where it ends
        (["11-10 09:00 1", "11-10 12:00 2"], "11-13 00:00", "11-13 02:00", "11-13 14:00"),
        (["11-10 09:00 1", "11-11 13:59 1"], "11-12 00:00", "11-12 02:00", "11-12 14:00"),
        (["11-10 09:00 1", "11-11 14:00 1"], "11-12 00:00", "11-12 02:00", "11-12 14:00"),
        (["11-10 09:00 1", "11-11 22:30 1"], "11-13 00:00", "11-13 02:00", "11-13 14:00"),
    ],
)
def test_when_a_reservation_ends(ordered, ends, stops, released):
    def us(text: str) -> int:
        moment = datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M")  # noqa: DTZ007
        return periods.to_us(moment.replace(tzinfo=ZoneInfo(ZONE)))

    events = tuple(
        Event(
            id=text,
            at_us=us(text[:11]),
            contract="c",
            about="ptu",
            what="begun",
            name="a",
            units={"days": int(text[12:])},
        )
        for text in ordered
    )
    *_, (_, expiry) = expiries(Told("c", "CNY", ZONE, ((0, PTU),), events))
    assert expiry == (us(ends), us(stops), us(released))
