"""What the dead had leased comes back once their journals are read, whatever the clocks say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from steelyard.catalogue.budgets import Budget
from steelyard.catalogue.documents import PriceRule
from steelyard.clerk.releasing import Keeper, Spending
from steelyard.dispatch import purses
from steelyard.dispatch.cover import KEPT_US, SURE_US
from steelyard.dispatch.leasing import Held, Lease, MemoryStore, Wish, is_building
from steelyard.dispatch.purses import LOT_PICO, Funds
from steelyard.metering.journal import JournalWriter
from steelyard.values.clock import FixedClock
from tests.metering.journals import AT_US, announced, open_writer, recorded
from tests.rating.documents import contract, edition, flat

HOUR_US = 3_600_000_000
YEAR_US = 365 * 24 * HOUR_US
LOTS = 1000
HOURLY = Budget(
    id="b", of=("customer",), amount_pico=LOTS * LOT_PICO, currency="CNY", per="hour", zone="UTC"
)
FUNDS = Funds(budgets=(HOURLY,))
STAMP = purses.stamp(FUNDS)
STUDIO = edition(contract(PriceRule(model="qwen3-max", tariff=flat(requests="5000000"))))
"""A call costs five: five million lots."""

CALL_LOTS = 5_000_000
PURSE = "budget/b/customer=acme/2026-11-24T00:00+00:00"
END_US = AT_US + HOUR_US


class Elsewhere:
    """Other machines' workers, and the folder in which each has left its journal."""

    def __init__(self) -> None:
        self.folders: dict[str, Path | None] = {}

    def roster(self) -> Mapping[str, bool]:
        return {name: folder is not None for name, folder in self.folders.items()}

    def bring(self, writer: str) -> Path:
        folder = self.folders[writer]
        assert folder is not None
        return folder


class Studio:
    """A journal, a store, who keeps the one true to the other, and a clock that may be set."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder
        self.clock = FixedClock(AT_US)
        self.store = MemoryStore()
        self.elsewhere = Elsewhere()
        self.keeper = self.keeper_anew()

    def keeper_anew(self) -> Keeper:
        spending = Spending(FUNDS, dict, lambda numbers: dict.fromkeys(numbers, STUDIO))
        return Keeper(self.store, self.journal, spending, STAMP, self.clock, self.elsewhere)

    def worker(self, name: str, leased: int) -> JournalWriter:
        """One that has leased so many lots, and spent a call's."""
        writer = open_writer(self.journal, name)
        wish = Wish(PURSE, 10**12, CALL_LOTS, leased, leased, leased, END_US)
        self.store.exchange(STAMP, name, 1, [wish])
        writer.announce(announced(1, call_id=name.encode().ljust(16)))
        record = recorded(1, call_id=name.encode().ljust(16), meters={"requests": 1})
        writer.record(record)
        return writer

    def held(self) -> Mapping[str, Held]:
        return {each.purse: each for each in self.store.held()}


def kill(writer: JournalWriter) -> None:
    os.close(writer._lock_fd)  # noqa: SLF001 - nothing public dies


@pytest.fixture
def studio(tmp_path):
    made = Studio(tmp_path)
    made.keeper.keep()
    return made


JUMPS_US = [HOUR_US, -HOUR_US, YEAR_US, -YEAR_US]


@pytest.mark.parametrize("jump_us", JUMPS_US)
def test_a_clock_that_jumps_releases_nobody_who_lives(studio, jump_us):
    writer = studio.worker("gateway-a", 2 * CALL_LOTS)
    before = studio.held()
    studio.clock.step(jump_us)
    studio.keeper.keep()
    studio.clock.step(-jump_us)
    studio.keeper.keep()
    assert studio.held() == before
    writer.close()


@pytest.mark.parametrize("jump_us", JUMPS_US)
def test_the_dead_leave_what_they_spent_whatever_the_clock_says(studio, jump_us):
    kill(studio.worker("gateway-a", 3 * CALL_LOTS))
    living = studio.worker("gateway-b", 2 * CALL_LOTS)
    studio.clock.step(jump_us)
    studio.keeper.keep()
    assert studio.held() == {PURSE: Held(PURSE, 3 * CALL_LOTS, 2 * CALL_LOTS)}
    studio.clock.step(-jump_us)
    studio.keeper.keep()
    assert studio.held() == {PURSE: Held(PURSE, 3 * CALL_LOTS, 2 * CALL_LOTS)}
    living.close()


@pytest.mark.parametrize("jump_us", JUMPS_US)
def test_a_store_that_is_built_up_again_by_a_wrong_clock_has_all_that_was_spent(studio, jump_us):
    kill(studio.worker("gateway-a", 3 * CALL_LOTS))
    studio.clock.step(jump_us)
    studio.store.clear(STAMP, "lost")
    studio.keeper_anew().keep()
    assert studio.held() == {PURSE: Held(PURSE, CALL_LOTS, CALL_LOTS)}


def test_a_window_is_forgotten_when_the_clock_has_long_said_so(studio):
    kill(studio.worker("gateway-a", CALL_LOTS))
    studio.keeper.keep()
    studio.clock.advance(HOUR_US + KEPT_US + 1)
    studio.keeper.keep()
    assert studio.held(), "it said so only now"
    studio.clock.advance(SURE_US)
    studio.keeper.keep()
    assert not studio.held()


def test_a_journal_that_is_not_whole_holds_on_to_what_its_writer_leased(studio):
    """Damaged: what its calls spent is not known, and the most that they can have stays held."""
    writer = studio.worker("gateway-a", 3 * CALL_LOTS)
    kill(writer)
    path = studio.journal / "gateway-a" / "00000001.seg"
    whole = path.read_bytes()
    at = whole.index(msgspec.msgpack.encode("qwen3-max"))
    path.write_bytes(whole[:at] + b"\x00" + whole[at + 1 :])
    studio.clock.step(YEAR_US)
    studio.keeper.keep()
    assert studio.held() == {PURSE: Held(PURSE, 3 * CALL_LOTS, CALL_LOTS)}


def test_a_store_opens_when_the_workers_of_all_machines_are_counted(studio, tmp_path_factory):
    """One serves here; elsewhere one is dead and has shipped all, one lives, one is cut off."""
    there = Studio(tmp_path_factory.mktemp("there"))
    there.keeper.keep()
    here, dead = studio.worker("gateway-here", 2 * CALL_LOTS), there.worker("gateway-dead", 7)
    dead.close()
    studio.elsewhere.folders = {
        "gateway-here": None,
        "gateway-dead": there.journal,
        "gateway-alive": None,
        "gateway-cut-off": None,
    }
    studio.store.clear(STAMP, "lost")

    def keep() -> bool:
        studio.keeper.keep()
        return studio.store.stamp == STAMP

    assert not keep()
    lease = Lease(2 * CALL_LOTS, CALL_LOTS)
    for turn, name in enumerate(("gateway-here", "gateway-alive"), start=2):
        studio.store.join(name, turn, {PURSE: (lease, END_US)})
        assert not keep()
    (there.journal / "gateway-cut-off").mkdir()
    studio.elsewhere.folders["gateway-cut-off"] = there.journal
    assert keep(), "it is dead by now, and left nothing"
    assert studio.held() == {PURSE: Held(PURSE, 5 * CALL_LOTS, 3 * CALL_LOTS)}
    here.close()


def test_a_store_that_is_lost_again_while_it_opens_stays_closed(studio, monkeypatch):
    """It was seen with all its workers, then it was empty, and built up by another."""
    writer = studio.worker("gateway-a", 2 * CALL_LOTS)
    studio.store.clear(STAMP, STAMP)
    studio.store.join("gateway-a", 2, {PURSE: (Lease(2 * CALL_LOTS, CALL_LOTS), END_US)})
    studio.elsewhere.folders = {"gateway-a": None}
    lost_on_the_way(studio, monkeypatch)
    studio.keeper.keep()
    assert is_building(studio.store.stamp)
    writer.close()


def lost_on_the_way(studio, monkeypatch):
    """Have the store lost, and cleared by somebody else, after the keeper has looked at it."""

    def roster() -> Mapping[str, bool]:
        studio.store.stamp = ""
        studio.store.clear("", STAMP)
        return {"gateway-a": False}

    monkeypatch.setattr(studio.elsewhere, "roster", roster)
