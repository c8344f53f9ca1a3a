"""Machines: what several of them share, should they: their journals and lines in one object store.

Each ships what its own journal has sealed. One clerk at a time books what all have shipped: it has
a lease in the database, whose token is checked in the transaction that books a batch.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.studio import Studio
from steelyard.values.clock import Clock

if TYPE_CHECKING:
    import sqlalchemy as sa

    from steelyard.clerk.books import Booking
    from steelyard.clerk.run import Clerk, Outcome
    from steelyard.clerk.shipping import Sent
    from steelyard.ledger.chain import Batch
    from steelyard.store.leases import Lease

VARIABLE = "STEELYARD_OBJECTS"
"""The environment variable with the URL of the object store that several machines share."""

_LOOK_S = 0.2
_CLERK = "clerk"


def share_journals() -> bool:
    """Whether several machines have one object store for their journals and lines."""
    return bool(os.environ.get(VARIABLE))


def this_one(opened: Studio) -> str:
    """What people call this machine, and the studio's folder on it."""
    return f"{socket.gethostname()}:{opened.root.absolute()}"


def booked_journal(opened: Studio) -> Path:
    """The folder with the journal that is booked: this machine's, or what all have shipped."""
    return opened.root / ("shipped" if share_journals() else "journal")


def open_shared(opened: Studio, engine: sa.Engine) -> Shared | None:
    """Open what the machines share; None for one by itself. Raises: ObjectsError."""
    return Shared(opened, engine) if share_journals() else None


class Shared:
    """What the machines share, as one of them sees it."""

    def __init__(self, opened: Studio, engine: sa.Engine) -> None:
        from steelyard.clerk.shipping import Shipper
        from steelyard.store.objects import Objects
        from steelyard.store.roster import Roster
        from steelyard.store.shipped import Index

        self.opened = opened
        self.engine = engine
        self.objects = Objects(os.environ[VARIABLE])
        self.index = Index(engine)
        journal = opened.root / "journal"
        self._shipper = Shipper(journal, self.objects, self.index, Roster(engine))

    def recover(self, clock: Clock) -> None:
        """Close what killed writers of this machine left."""
        from steelyard.metering import recovery

        recovery.recover(self.opened.root / "journal", clock)

    def ship(self) -> Sent:
        """Ship what this machine has sealed. Raises: ObjectsError."""
        return self._shipper.ship()

    def bring(self) -> None:
        """Have here what was booked anywhere: segments and line files. Raises: ObjectsError."""
        from steelyard.clerk import shipping
        from steelyard.store.books import Books

        shipping.fetch(self.index.all(), self.objects, booked_journal(self.opened))
        files = Books(self.engine).line_files()
        shipping.fetch_lines(self.objects, self.opened.root / "lines", files)

    def bring_writer(self, writer: str) -> Path:
        """Have here what one writer has shipped; the folder with it. Raises: StoreAwayError."""
        from steelyard.clerk import shipping
        from steelyard.dispatch.leasing import StoreAwayError

        folder, its = booked_journal(self.opened), f"{writer}/"
        (folder / writer).mkdir(parents=True, exist_ok=True)
        wanted = [each for each in self.index.all() if each.name.startswith(its)]
        try:
            shipping.fetch(wanted, self.objects, folder)
        except shipping.ObjectsError as exc:
            raise StoreAwayError from exc
        return folder

    @contextmanager
    def turn(self) -> Generator[Turn | None]:
        """Be the one clerk of all machines for as long as this lasts; None while another is."""
        from steelyard.store import leases

        holder = f"{socket.gethostname()} {os.getpid()}"
        lease = leases.take(self.engine, _CLERK, holder, self.opened.settings.clerk.lease_s)
        if lease is None:
            yield None
            return
        try:
            yield Turn(self, lease)
        finally:
            leases.give_up(self.engine, lease)

    def book(self, clock: Clock, booked: Callable[[Batch], None]) -> Outcome | None:
        """Have all booked that was shipped, this machine's journal too, and have it here.

        None when a clerk that was running has done it. Raises: as ``app.book_journal`` does;
        ObjectsError; LeaseLostError.
        """
        from steelyard.clerk import run
        from steelyard.store.books import Books

        self.recover(clock)
        self.ship()
        wanted = {each.name: each.frontier for each in self.index.unbooked()}
        outcome = None
        with self.turn() as turn:
            if turn is not None:
                outcome = turn.clerk(clock).drain(booked)
        if outcome is None:
            run.wait_until_booked(Books(self.engine), wanted, lambda: time.sleep(_LOOK_S))
        self.bring()
        return outcome


class Turn:
    """A clerk's turn; it ends when nothing was heard of it for ``lease_s``."""

    def __init__(self, shared: Shared, lease: Lease) -> None:
        self._shared = shared
        self._lease = lease

    def clerk(self, clock: Clock) -> Clerk:
        """The clerk, who books what all machines have shipped. Raises: ObjectsError."""
        from steelyard.clerk.run import Clerk
        from steelyard.store.books import Books

        opened = self._shared.opened
        # What is corrected is read again, wherever it was booked.
        self._shared.bring()
        return Clerk(
            Books(self._shared.engine, self._lease, self._keep),
            booked_journal(opened),
            opened.root / "lines",
            clock,
            opened.settings.clerk.batch_calls_max,
            self._fetch,
        )

    def _fetch(self) -> None:
        from steelyard.clerk import shipping

        self._renew()
        shared = self._shared
        shipping.fetch(shared.index.unbooked(), shared.objects, booked_journal(shared.opened))

    def _keep(self, booking: Booking) -> None:
        from steelyard.clerk import shipping

        self._renew()
        lines = self._shared.opened.root / "lines"
        shipping.put_lines(self._shared.objects, lines, booking.batch)

    def _renew(self) -> None:
        from steelyard.store import leases

        lease_s = self._shared.opened.settings.clerk.lease_s
        leases.renew(self._shared.engine, self._lease, lease_s)
