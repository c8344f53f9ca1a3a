"""A journal on one machine, its clerk on another: what is shipped is booked once, whoever dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from steelyard.clerk import shipping
from steelyard.clerk.audit import audit
from steelyard.clerk.run import Clerk
from steelyard.clerk.shipping import ObjectsError, Shipper, fetch, fetch_lines, put_lines
from steelyard.metering import frames
from steelyard.metering.journal import JournalWriter
from steelyard.metering.recovery import recover
from steelyard.store.archive import open_archive
from steelyard.store.books import Books
from steelyard.store.objects import Objects
from steelyard.store.roster import Roster
from steelyard.store.shipped import Index
from steelyard.values.clock import FixedClock
from tests.clerk.desk import Desk, Sum, calls, journal, undisturbed

PARTS = [calls(40, seed=seed) for seed in range(6)]


class Folder(NamedTuple):
    """Objects without a thread of their own, which a fork would not have."""

    root: Path

    def put(self, name: str, data: bytes) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(data)

    def get(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


class Machines(NamedTuple):
    """One that serves, one that books, and what they share: a database and a store of objects."""

    serves: Path
    books: Desk
    objects: Objects | Folder

    @property
    def noted(self) -> Index:
        return Index(self.books.engine)

    @property
    def fetched(self) -> Path:
        return self.books.root / "shipped"

    @property
    def roster(self) -> Roster:
        return Roster(self.books.engine)

    def shipper(self) -> Shipper:
        return Shipper(self.serves / "journal", self.objects, self.noted, self.roster)

    def ship(self) -> int:
        return self.shipper().ship().segments

    def clerk(self, fetched: Path | None = None) -> Clerk:
        folder = fetched or self.fetched
        books = Books(
            self.books.engine,
            None,
            lambda booking: put_lines(self.objects, self.books.lines, booking.batch),
        )
        return Clerk(
            books,
            folder,
            self.books.lines,
            FixedClock(),
            30,
            lambda: fetch(self.noted.unbooked(), self.objects, folder),
        )

    def book(self) -> int:
        return self.clerk().drain(lambda _: None).calls

    def audited(self) -> int:
        fetch(self.noted.all(), self.objects, self.fetched)
        with open_archive(self.books.engine, self.books.lines) as archive:
            return audit(archive, self.fetched, self.books.root, lambda _: None).calls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.books.__exit__()


@pytest.fixture
def machines(tmp_path):
    objects = Objects(f"file://{tmp_path}/objects")
    with Machines(tmp_path / "serves", Desk(tmp_path / "books"), objects) as both:
        yield both


@pytest.fixture
def whole(tmp_path) -> Sum:
    """What one machine by itself books of the same."""
    return undisturbed(tmp_path / "alone", PARTS)


def write(machines: Machines) -> None:
    """Three writers of two segments each: sealed by size or age, the last one at their end."""
    for number in range(3):
        with JournalWriter(
            machines.serves / "journal", f"live-{number}", durability="process", clock=FixedClock()
        ) as writer:
            for part in PARTS[2 * number : 2 * number + 2]:
                for record in part:
                    writer.record(record)
                writer.turn_over()


def test_shipped_and_fetched_it_is_booked_as_where_it_was_written(machines, whole):
    write(machines)
    assert machines.ship() == 9
    assert machines.ship() == 0
    assert machines.book() == 240
    assert machines.book() == 0
    assert machines.books.sum() == whole
    assert machines.audited() == 240


def test_a_segment_without_a_record_is_not_asked_for(machines):
    write(machines)
    machines.ship()
    assert [each.name for each in machines.noted.unbooked()] == [
        f"live-{number}/0000000{sequence}.seg" for number in range(3) for sequence in (1, 2)
    ]
    assert len(machines.noted.all()) == 9


def test_what_is_not_sealed_stays_until_recovery_has_sealed_it(machines):
    journal(machines.serves, "live-1", calls(3), blocks=False)
    segment = machines.serves / "journal" / "live-1" / "00000001.seg"
    segment.write_bytes(segment.read_bytes()[: -frames.SEAL_BYTES])
    assert machines.ship() == 0
    recover(machines.serves / "journal", FixedClock())
    assert machines.ship() == 1
    assert machines.book() == 3


def test_a_clerk_takes_over_in_the_middle_of_a_segment(machines, tmp_path, whole):
    write(machines)
    machines.ship()
    machines.clerk().drain(lambda _: None, lambda: True)
    assert machines.clerk(tmp_path / "elsewhere").drain(lambda _: None).calls == 240 - 30
    assert machines.books.sum() == whole


def test_damage_is_found_before_it_leaves_and_when_it_arrives(machines):
    write(machines)
    segment = machines.serves / "journal" / "live-0" / "00000001.seg"
    sound = segment.read_bytes()
    segment.write_bytes(sound[:200] + bytes([sound[200] ^ 1]) + sound[201:])
    sent = machines.shipper().ship()
    assert sent.segments == 8
    assert [each.path for each in sent.damages] == [segment]
    name = "journal/live-1/00000001.seg"
    arrived = machines.objects.get(name)
    machines.objects.put(name, arrived[:200] + bytes([arrived[200] ^ 1]) + arrived[201:])
    with pytest.raises(ObjectsError, match="not as the books say"):
        machines.book()


def test_lines_are_the_same_wherever_they_are_read(machines, tmp_path):
    write(machines)
    machines.ship()
    machines.book()
    files = machines.books.books.line_files()
    assert fetch_lines(machines.objects, machines.books.lines, files) == 0
    (machines.books.lines / "00000001.parquet").write_bytes(b"something else")
    assert fetch_lines(machines.objects, machines.books.lines, files) == 1
    assert fetch_lines(machines.objects, tmp_path / "there", files) == len(files)
    for number, _ in files:
        name = f"{number:08d}.parquet"
        there, here = tmp_path / "there" / name, machines.books.lines / name
        assert there.read_bytes() == here.read_bytes()


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(call: Callable[..., object]) -> Callable[..., None]:
    def done(*given: object, **named: object) -> None:
        call(*given, **named)
        die()

    return done


STEPS = [
    # who dies, where, and whether what was to be done there is done
    ("ship", Folder, "put", False),
    ("ship", Folder, "put", True),
    ("ship", Index, "note", True),
    ("book", shipping, "_place", False),
    ("book", Path, "replace", False),
    ("book", Path, "replace", True),
    ("book", Folder, "put", False),
    ("book", Folder, "put", True),
    ("book", Books, "book", True),
]


@pytest.mark.parametrize(("act", "owner", "name", "done"), STEPS)
def test_killed_at_any_step_it_is_booked_once(machines, whole, act, owner, name, done):
    machines = machines._replace(objects=Folder(machines.serves / "objects"))
    write(machines)
    if act == "book":
        machines.ship()
    deaths = 0
    for _ in range(2):
        machines.books.engine.dispose()
        child = os.fork()
        if not child:
            setattr(owner, name, then_die(getattr(owner, name)) if done else die)
            getattr(machines, act)()
            os._exit(0)
        deaths += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert deaths == 2
    machines.ship()
    machines.book()
    assert machines.books.sum() == whole
    assert machines.audited() == 240


def test_who_is_dead_and_has_shipped_all_is_known_to_all(machines):
    write(machines)
    with JournalWriter(
        machines.serves / "journal", "live-9", durability="process", clock=FixedClock()
    ) as living:
        living.record(calls(1, seed=9)[0])
        for name in ("live-0", "live-9", "elsewhere"):
            machines.roster.enter(name, "here")
        machines.ship()
        assert machines.roster.all() == {"live-0": True, "live-9": False, "elsewhere": False}
    machines.ship()
    machines.roster.enter("live-9", "here")
    assert machines.roster.all() == {"live-0": True, "live-9": True, "elsewhere": False}
