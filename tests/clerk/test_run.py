from __future__ import annotations

import pytest

from steelyard.clerk import run
from steelyard.clerk.run import ClerkTakenError, Outcome, claim, wait_for_clerk
from steelyard.metering import frames
from steelyard.metering.journal import JournalWriter
from steelyard.metering.recovery import Recovery
from steelyard.values.clock import FixedClock
from tests.clerk.desk import Desk, calls, journal


def test_a_studio_has_one_clerk(tmp_path):
    lock = tmp_path / "run" / "clerk.lock"
    with claim(lock), pytest.raises(ClerkTakenError), claim(lock):
        pass
    with claim(lock):
        pass


def test_whoever_waits_sees_what_was_in_the_journal(tmp_path):
    journal(tmp_path, "live-1", calls(10), blocks=False)
    with Desk(tmp_path) as desk:
        clerk = desk.clerk(4)
        pauses: list[int] = []

        def pause():
            clerk.drain(lambda _: None, lambda: True)
            pauses.append(desk.books.head().batch)

        wait_for_clerk(desk.books, desk.journal, pause)
        assert pauses == [1, 2, 3]
        journal(tmp_path, "live-2", calls(3, seed=1))
        wait_for_clerk(desk.books, desk.journal, pause)
        assert pauses == [1, 2, 3, 4]
        wait_for_clerk(desk.books, desk.journal, pause)
        assert pauses == [1, 2, 3, 4]


def test_nobody_waits_for_a_clerk_that_stands_still(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE_PAUSES", 5)
    journal(tmp_path, "live-1", calls(3))
    pauses: list[int] = []
    with Desk(tmp_path) as desk, pytest.raises(ClerkTakenError):
        wait_for_clerk(desk.books, desk.journal, lambda: pauses.append(1))
    assert len(pauses) == 5


def test_the_clerk_goes_on_until_it_is_told_to_stop(tmp_path):
    looks: list[int] = []
    with (
        Desk(tmp_path) as desk,
        JournalWriter(desk.journal, "live-1", durability="process", clock=FixedClock()) as writer,
    ):

        def pause():
            looks.append(desk.books.head().batch)
            writer.record(calls(9)[len(looks)])

        desk.clerk().run(lambda _: None, lambda: len(looks) == 3, pause)
    assert looks == [0, 1, 2]


def test_calls_of_a_killed_writer_are_closed_and_booked(tmp_path):
    journal(tmp_path, "live-1", calls(3), blocks=False)
    segment = tmp_path / "journal" / "live-1" / "00000001.seg"
    segment.write_bytes(segment.read_bytes()[: -frames.SEAL_BYTES])
    found: list[Recovery | Outcome] = []
    with Desk(tmp_path) as desk:
        desk.clerk().run(found.append, lambda: bool(found), lambda: None)
        recovered, outcome = found
        assert isinstance(recovered, Recovery)
        assert [each.segment for each in recovered.recovered] == ["live-1/00000001.seg"]
        assert isinstance(outcome, Outcome)
        assert outcome.calls == 3
