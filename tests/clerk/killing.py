"""Kills clerks: ``python -m tests.clerk.killing FOLDER KILLS SEED`` over the journal of a desk.

Each clerk is a process of its own that books until it is killed with SIGKILL, some batches and a
random while after it began; meanwhile a live writer goes on. Prints how many batches there were
after each kill.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import msgspec

from steelyard.clerk.run import Clerk
from steelyard.metering.journal import JournalWriter
from steelyard.store.books import Books
from steelyard.store.engines import open_engine, sqlite_url
from steelyard.values.clock import FixedClock
from tests.clerk.desk import calls

BATCH_CALLS_MAX = 20
BOOKED_MAX = 4
DELAY_S_MAX = 0.03
"""A clerk is killed so long after it booked so many batches: about as long as one takes."""


def work(root: Path, told: int) -> None:
    engine = open_engine(sqlite_url(root / "steelyard.db"))
    clerk = Clerk(Books(engine), root / "journal", root / "lines", FixedClock(), BATCH_CALLS_MAX)

    def tell(*_: object) -> None:
        os.write(told, b"!")

    tell()
    clerk.drain(tell)


def killed(root: Path, booked: int, delay_s: float) -> bool:
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        work(root, told)
        os._exit(0)
    for _ in range(1 + booked):
        os.read(heard, 1)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    os.close(heard)
    os.close(told)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def batches(root: Path) -> int:
    engine = open_engine(sqlite_url(root / "steelyard.db"))
    found = Books(engine).head().batch
    engine.dispose()
    return found


def main(root: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    found: list[int] = []
    with JournalWriter(
        root / "journal", "live-9", durability="process", clock=FixedClock()
    ) as writer:
        for number in range(kills):
            for record in calls(9, seed=1000 + number):
                writer.record(record)
            booked, delay_s = chance.randint(0, BOOKED_MAX), chance.random() * DELAY_S_MAX
            assert killed(root, booked, delay_s), "the journal was booked too soon"
            found.append(batches(root))
    sys.stdout.write(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
