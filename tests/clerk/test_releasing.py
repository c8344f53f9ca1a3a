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
from steelyard.dispatch.leasing import Held, MemoryStore, Wish
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


class Studio:
    """A journal, a store, who keeps the one true to the other, and a clock that may be set."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder
        self.clock = FixedClock(AT_US)
        self.store = MemoryStore()
        self.keeper = self.keeper_anew()

    def keeper_anew(self) -> Keeper:
        spending = Spending(FUNDS, dict, lambda numbers: dict.fromkeys(numbers, STUDIO))
        return Keeper(self.store, self.journal, spending, STAMP, self.clock)

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
