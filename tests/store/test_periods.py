from __future__ import annotations

from tests.clerk.charging import BEGUN, MEASURED, SEATS, Charging, documents, invoice
from tests.clerk.desk import Desk, calls, journal
from tests.clerk.ordering import audited


def test_periods_are_charged_closed_and_audited_in_each_database(url, tmp_path):
    with Desk(tmp_path / "desk", url) as desk:
        charging = Charging(desk, documents())
        journal(desk.root, "one-1", calls(200))
        charging.happened(BEGUN, MEASURED)
        charging.close("2026-10")
        charging.happened(SEATS)
        paid, lines = invoice(charging.close("2026-11"))
        assert lines["team:small seats 2"] == "51.62"
        # the minimum, less what the calls of November drew on the budget
        assert paid == "998.91"
        assert audited(desk).closings == 2
