from __future__ import annotations

import pytest
import sqlalchemy as sa

from steelyard.clerk.books import BooksMovedError
from steelyard.store import leases, tables
from steelyard.store.books import Books
from steelyard.store.engines import writing
from steelyard.store.leases import Lease, LeaseLostError
from tests.clerk.desk import Desk, calls, journal

FOR_EVER_S = 1000.0


def test_one_has_a_lease_until_it_gives_it_up(engine):
    first = Lease("clerk", 1)
    assert leases.take(engine, "clerk", "a", FOR_EVER_S) == first
    assert leases.take(engine, "clerk", "b", FOR_EVER_S) is None
    assert leases.take(engine, "other", "b", FOR_EVER_S) == Lease("other", 1)
    leases.give_up(engine, first)
    assert leases.take(engine, "clerk", "b", FOR_EVER_S) == Lease("clerk", 2)


def test_a_lease_that_ran_out_is_anothers_and_its_owner_is_told(engine):
    first = leases.take(engine, "clerk", "a", -1.0)
    assert first is not None
    second = Lease("clerk", 2)
    assert leases.take(engine, "clerk", "b", FOR_EVER_S) == second
    with pytest.raises(LeaseLostError):
        leases.renew(engine, first, FOR_EVER_S)
    with writing(engine) as connection:
        leases.check(connection, second)
        with pytest.raises(LeaseLostError):
            leases.check(connection, first)
    leases.give_up(engine, first)
    assert leases.take(engine, "clerk", "c", FOR_EVER_S) is None, "it was not its to give up"


def test_a_lease_that_is_renewed_stays(engine):
    lease = leases.take(engine, "clerk", "a", -1.0)
    assert lease is not None
    leases.renew(engine, lease, FOR_EVER_S)
    assert leases.take(engine, "clerk", "b", FOR_EVER_S) is None


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 10.0**8, -(10.0**8)])
def test_a_database_whose_clock_jumps_has_one_holder_and_it_is_told(engine, jump_s):
    """Set forth, a lease seems to be over; set back, to last longer than any is taken for."""
    first = leases.take(engine, "clerk", "a", FOR_EVER_S)
    assert first is not None
    jump(engine, jump_s)
    second = leases.take(engine, "clerk", "b", FOR_EVER_S)
    assert second is not None, "nobody waits for what a clock says"
    assert second.token > first.token
    with pytest.raises(LeaseLostError):
        leases.renew(engine, first, FOR_EVER_S)
    leases.renew(engine, second, FOR_EVER_S)
    assert leases.take(engine, "clerk", "c", FOR_EVER_S) is None


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_lease_that_is_renewed_in_time_outlives_a_jump(engine, jump_s):
    first = leases.take(engine, "clerk", "a", FOR_EVER_S)
    assert first is not None
    jump(engine, jump_s)
    leases.renew(engine, first, FOR_EVER_S)
    assert leases.take(engine, "clerk", "b", FOR_EVER_S) is None


def jump(engine, seconds: float) -> None:
    """Set the database's clock: that is to say, all that it has written down the other way."""
    table = tables.leases
    with engine.begin() as connection:
        moved = table.c.until_us - int(seconds * 1_000_000)
        connection.execute(sa.update(table).values(until_us=moved))


def test_a_clerk_that_lost_its_lease_books_nothing(tmp_path, url):
    """It had read a batch, and slept: another had booked it, or nobody."""
    journal(tmp_path, "live-1", calls(10))
    with Desk(tmp_path, url) as desk:
        slow = leases.take(desk.engine, "clerk", "slow", -1.0)
        clerk = desk.clerk_with(Books(desk.engine, slow))
        assert leases.take(desk.engine, "clerk", "quick", FOR_EVER_S) is not None
        with pytest.raises(LeaseLostError):
            clerk.drain(lambda _: None)
        assert desk.books.head().batch == 0
        assert desk.rows(tables.calls) == []


def test_the_lease_is_looked_at_before_the_head(tmp_path, url):
    """Whoever lost it stops, and does not try again after what the other has booked."""
    journal(tmp_path, "live-1", calls(10))
    with Desk(tmp_path, url) as desk:
        slow = leases.take(desk.engine, "clerk", "slow", -1.0)
        clerk = desk.clerk_with(Books(desk.engine, slow))
        leases.take(desk.engine, "clerk", "quick", FOR_EVER_S)
        desk.book()
        with pytest.raises(LeaseLostError):
            clerk.drain(lambda _: None)
        assert len(desk.rows(tables.batches)) == 1
        assert not issubclass(LeaseLostError, BooksMovedError)
