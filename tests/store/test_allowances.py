"""Shared limits: every store does the same as the one in memory, whole or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.dispatch.leasing import (
    RATE,
    Given,
    Held,
    Lease,
    MemoryStore,
    Notice,
    StoreClosedError,
    Wish,
    WriterReleasedError,
    is_building,
)

END = 10**15


def wish(purse="p", size=1000, spent=0, least=0, best=0, floor=None, short=False) -> Wish:
    return Wish(purse, size, spent, spent if floor is None else floor, least, best, END, short)


@pytest.fixture
def opened(store):
    store.clear(store.state()[0], "x")
    store.open("x")
    return store


GIVEN = [
    # size, what each worker has, then what one asks: (least, best); what it is given in all
    ("plenty: a part of the rest, shared", 1000, [], (10, 500), 250),
    ("no more than it would like", 1000, [], (10, 40), 40),
    ("two share it", 1000, [("b", 200)], (10, 500), 100),
    ("what calls need, if it is there", 100, [("b", 60)], (40, 90), 40),
    ("and nothing, if it is not", 100, [("b", 61)], (40, 90), 0),
    ("the last one", 1, [], (1, 1), 1),
    ("nothing left", 100, [("b", 100)], (1, 50), 0),
    ("a purse that has become smaller", 50, [("b", 100)], (0, 50), 0),
]


@pytest.mark.parametrize(("size", "others", "asked", "given"), [row[1:] for row in GIVEN])
def test_what_a_worker_is_given(opened, size, others, asked, given):
    for name, amount in others:
        opened.exchange("x", name, 1, [wish(size=1000, least=amount, best=amount)])
    (found,) = opened.exchange("x", "a", 1, [wish(size=size, least=asked[0], best=asked[1])])
    assert found.granted == given
    assert found.left == size - given - sum(amount for _, amount in others)


def test_saying_it_again_changes_nothing(opened):
    (first,) = opened.exchange("x", "a", 1, [wish(least=100, best=100)])
    assert opened.exchange("x", "a", 1, [wish(least=100, best=100)]) == ()
    (again,) = opened.exchange("x", "a", 2, [wish(least=100, best=100)])
    assert again == first == Given(100, 900, 0, sought=False)
    assert opened.held() == [Held("p", 100, 0)]


def test_what_comes_late_is_left_undone(opened):
    opened.exchange("x", "a", 1, [wish(least=500, best=500)])
    opened.exchange("x", "a", 5, [wish(least=600, best=600)])
    assert opened.exchange("x", "a", 3, [wish(best=0)]) == ()
    assert opened.held() == [Held("p", 600, 0)]


def test_what_is_given_back_others_get(opened):
    opened.exchange("x", "a", 1, [wish(least=1000, best=1000)])
    (none,) = opened.exchange("x", "b", 1, [wish(least=300, best=300, short=True)])
    assert (none.granted, none.left) == (0, 0)
    (told,) = opened.exchange("x", "a", 2, [wish(spent=200, least=1000, best=1000)])
    assert told.sought
    assert opened.exchange("x", "a", 3, [wish(spent=200, least=400, best=400)])[0].left == 600
    (some,) = opened.exchange("x", "b", 2, [wish(least=300, best=300, short=True)])
    assert some == Given(300, 300, 200, sought=False)
    assert not opened.exchange("x", "a", 4, [wish(spent=200, least=400, best=400)])[0].sought


def test_who_waits_keeps_only_what_it_holds_while_others_wait_too(opened):
    """Seven are left in two parts, and two calls wait for seven."""
    opened.exchange("x", "a", 1, [wish(size=10, least=6, best=6)])
    opened.exchange("x", "b", 1, [wish(size=10, least=4, best=4)])
    (alone,) = opened.exchange("x", "a", 2, [wish(size=10, least=7, best=7, short=True)])
    assert (alone.granted, alone.left) == (6, 0)
    (second,) = opened.exchange(
        "x", "b", 2, [wish(size=10, floor=3, least=10, best=10, short=True)]
    )
    assert (second.granted, second.left) == (3, 1)
    (first,) = opened.exchange("x", "a", 3, [wish(size=10, least=7, best=7, short=True)])
    assert (first.granted, first.left) == (7, 0)


def test_what_is_spent_stays_granted_even_beyond_the_purse(opened):
    opened.exchange("x", "a", 1, [wish(size=100, least=100, best=100)])
    (found,) = opened.exchange("x", "a", 2, [wish(size=100, spent=130, least=0, best=0)])
    assert found == Given(130, -30, 130, sought=False)


def test_several_purses_at_once(opened):
    found = opened.exchange("x", "a", 1, [wish("p", 100, best=4), wish("q", 50, least=50, best=50)])
    assert [each.granted for each in found] == [4, 50]
    assert opened.held() == [Held("p", 4, 0), Held("q", 50, 0)]


def test_a_dead_writer_leaves_what_its_journal_says(opened):
    opened.exchange("x", "a", 1, [wish(spent=10, least=400, best=400), wish("q", best=5)])
    opened.exchange("x", "b", 1, [wish(least=600, best=600, short=True)])
    opened.release("a", {"p": (25, END), "r": (7, END)})
    opened.release("a", {"p": (25, END)})
    assert opened.held() == [Held("p", 625, 25), Held("q", 0, 0), Held("r", 7, 7)]
    assert opened.state() == ("x", frozenset({"b"}), frozenset({"a"}))
    with pytest.raises(WriterReleasedError):
        opened.exchange("x", "a", 2, [wish(best=10)])
    (alone,) = opened.exchange("x", "b", 2, [wish(least=600, best=975)])
    assert alone.granted == 600 + (1000 - 625) // 4


def test_a_closed_store_leases_nothing_until_the_living_have_joined(store):
    assert store.state()[0] == ""
    with pytest.raises(StoreClosedError):
        store.exchange("x", "a", 1, [wish(best=10)])
    store.join("a", 2, {"p": (Lease(50, 20), END)})
    assert store.held() == []
    store.clear("", "x")
    store.clear("", "x")
    with pytest.raises(StoreClosedError):
        store.exchange("x", "a", 3, [wish(best=10)])
    store.join("a", 4, {"p": (Lease(50, 20), END)})
    store.join("a", 5, {"p": (Lease(60, 25), END)})
    assert store.state()[1:] == (frozenset({"a"}), frozenset())
    store.release("dead", {"p": (100, END)})
    store.open("other")
    store.open("x")
    store.join("a", 6, {"p": (Lease(999, 999), END)})
    assert store.held() == [Held("p", 160, 125)]
    with pytest.raises(StoreClosedError):
        store.exchange("other", "a", 7, [wish(best=10)])
    (found,) = store.exchange("x", "a", 7, [wish(spent=25, least=60, best=60)])
    assert found == Given(60, 840, 125, sought=False)


def test_a_store_opens_only_when_all_are_counted(store):
    store.clear("", "x")
    store.open("x", ["a", "dead"])
    store.join("a", 1, {"p": (Lease(50, 20), END)})
    store.open("x", ["a", "dead"])
    assert is_building(store.state()[0])
    store.release("dead", {"p": (100, END)})
    store.open("x", ["a", "dead"])
    assert store.state()[0] == "x"


def test_only_who_saw_it_so_clears_a_store(opened):
    opened.exchange("x", "a", 1, [wish(best=10)])
    opened.clear("", "y")
    assert opened.state()[0] == "x"
    opened.clear("x", "y")
    assert opened.state() == ("building y", frozenset(), frozenset())
    assert opened.held() == []


def test_purses_whose_window_is_over_are_forgotten(opened):
    opened.exchange("x", "a", 1, [wish("old")._replace(until_us=5), wish("new")])
    opened.forget(6)
    assert [each.purse for each in opened.held()] == ["new"]


def test_a_notice_is_the_first_once(opened):
    notice = Notice("p", 500_000, 7, 10**20, 2 * 10**20)
    assert opened.notice(notice)
    assert not opened.notice(notice._replace(at_us=8))
    assert opened.notice(notice._replace(ppm=800_000, at_us=9))
    assert opened.notices() == [notice, notice._replace(ppm=800_000, at_us=9)]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["p", "q"]),
            st.integers(0, 60),
            st.integers(0, 60),
            st.integers(0, 5),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_it_does_what_the_one_in_memory_does(store, steps):
    model, stamp = MemoryStore(), store.state()[0]
    for each in (store, model):
        each.clear(each.state()[0], "x")
        each.open("x")
    del stamp
    spent: dict[tuple[str, str], int] = {}
    for turn, (writer, purse, least, more, used, short) in enumerate(steps, start=1):
        before = spent.get((writer, purse), 0)
        spent[writer, purse] = after = before + used
        asked = [wish(purse, 100, after, after + least, after + least + more, short=short)]
        assert store.exchange("x", writer, turn, asked) == model.exchange("x", writer, turn, asked)
        if turn % 9 == 0:
            for each in (store, model):
                each.release(writer, {purse: (after, END)})
            break
    assert store.held() == model.held()
    assert store.state() == model.state()


def test_at_once_from_many_threads_nothing_is_given_twice(opened, another):
    """Eight workers, each over a connection of its own, take a purse of 1,000 piece by piece."""
    start, granted = threading.Barrier(8), [0] * 8

    def work(number: int) -> None:
        mine = another()
        start.wait()
        for turn in range(1, 200):
            asked = wish(least=granted[number] + 7, best=granted[number] + 20)
            (found,) = mine.exchange("x", f"w{number}", turn, [asked])
            if found.granted == granted[number]:
                break
            granted[number] = found.granted
        mine.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert 1000 - 7 < sum(granted) <= 1000
    assert opened.held() == [Held("p", sum(granted), 0)]


def test_many_that_open_an_empty_store_at_once_make_it_once(another):
    """As the processes of a studio do that starts for the first time."""
    start = threading.Barrier(8)

    def work(_: int) -> tuple[str, frozenset[str], frozenset[str]]:
        mine = another()
        start.wait()
        try:
            return mine.state()
        finally:
            mine.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(8)))) == 1


def test_what_a_dead_writer_had_of_a_minute_is_free_when_that_is_over(opened):
    rate = f"{RATE}a/key=k/requests/minute"
    opened.exchange("x", "a", 1, [wish("p", least=5, best=5), wish(rate, size=10, least=7, best=7)])
    opened.exchange("x", "b", 1, [wish(rate, size=10, least=1, best=1)])
    opened.release("a", {"p": (2, END)})
    opened.lapse(["b"])
    assert opened.held() == [Held("p", 2, 2), Held(rate, 8, 0)]
    (none,) = opened.exchange("x", "b", 2, [wish(rate, size=10, least=5, best=5)])
    assert (none.granted, none.left) == (1, 2)
    opened.lapse(["a", "c"])
    opened.lapse(["a", "c"])
    assert opened.held() == [Held("p", 2, 2), Held(rate, 1, 0)]
    (some,) = opened.exchange("x", "b", 3, [wish(rate, size=10, least=5, best=5)])
    assert (some.granted, some.left) == (5, 5)


def test_a_store_that_is_cleared_has_nothing_of_those_who_were_released(opened):
    rate = f"{RATE}a/key=k/requests/minute"
    opened.exchange("x", "a", 1, [wish(rate, size=10, least=7, best=7)])
    opened.release("a", {})
    opened.clear("x", "y")
    assert opened.held() == []
    opened.release("a", {})
    opened.lapse(["a"])
    assert opened.held() == []
