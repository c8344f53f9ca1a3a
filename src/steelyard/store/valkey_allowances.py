"""Shared limits in Valkey, or Redis: pots and leases, each operation one script."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import msgspec
import valkey
from valkey.backoff import NoBackoff
from valkey.commands.core import Script
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from steelyard.dispatch import leasing
from steelyard.dispatch.leasing import (
    PORTIONS,
    Given,
    Held,
    Lease,
    Notice,
    StoreAwayError,
    StoreClosedError,
    Wish,
    WriterReleasedError,
)
from steelyard.store import scripts

WAIT_S_MAX = 2.0
"""How long a script may take before the store counts as away."""

PREFIX = "{steelyard}:"
"""How its keys begin; the braces keep them at one node of a cluster."""

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")

_NAMES = ("stamp", "writers", "released", "pots")


class ValkeyAllowances:
    """A store of shared limits in Valkey. One thread asks at a time."""

    def __init__(self, url: str) -> None:
        """Reach it. Raises: StoreAwayError."""
        scheme, _, rest = url.partition("://")
        spoken = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
        self._lock = threading.Lock()
        self.round_trips = 0
        self._client = valkey.Valkey.from_url(
            f"{spoken}://{rest}",
            socket_timeout=WAIT_S_MAX,
            socket_connect_timeout=WAIT_S_MAX,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        said = {
            name: text.replace("@PORTIONS@", str(PORTIONS))
            .replace("@BUILDING@", leasing.BUILDING)
            .replace("@RATE@", leasing.RATE)
            for name, text in vars(scripts).items()
            if name.isupper() and name != "PRELUDE"
        }
        self._scripts: dict[str, Script] = {
            name: self._client.register_script(scripts.PRELUDE + text)
            for name, text in said.items()
        }
        self.state()

    def exchange(
        self, stamp: str, writer: str, turn: int, wishes: Sequence[Wish]
    ) -> Sequence[Given]:
        """Settle, give back and lease. Raises: StoreClosedError, WriterReleasedError."""
        told = [each for wish in wishes for each in (*wish[:-1], int(wish.short))]
        found = self._do("EXCHANGE", writer, stamp, writer, turn, *told)
        if found == "released":
            raise WriterReleasedError
        if found == "closed":
            raise StoreClosedError
        rows = cast("list[list[int]]", found)
        return [Given(row[0], row[1], row[2], bool(row[3])) for row in rows] or ()

    def join(self, writer: str, turn: int, held: Mapping[str, tuple[Lease, int]]) -> None:
        """Tell a store that is being built up what a worker has. Raises: WriterReleasedError."""
        told = [
            each
            for name, (lease, until_us) in held.items()
            for each in (name, lease.granted, lease.spent, until_us)
        ]
        if self._do("JOIN", writer, writer, turn, *told) == "released":
            raise WriterReleasedError

    def state(self) -> tuple[str, frozenset[str], frozenset[str]]:
        """Its stamp, the living writers, the released ones."""
        found = cast("tuple[str, list[str], list[str]]", self._do("STATE", ""))
        return found[0], frozenset(found[1]), frozenset(found[2])

    def clear(self, seen: str, stamp: str) -> None:
        """Forget everything but what was told, to build it up for a stamp."""
        self._do("CLEAR", "", seen, leasing.building(stamp))

    def open(self, stamp: str, counted: Collection[str] = ()) -> None:
        """Lease from now on, if all are counted."""
        self._do("OPEN", "", leasing.building(stamp), stamp, *counted)

    def release(self, writer: str, spent: Mapping[str, tuple[int, int]]) -> None:
        """A writer is dead and this is all that it spent."""
        told = [each for name, (units, end_us) in spent.items() for each in (name, units, end_us)]
        self._do("RELEASE", writer, writer, *told)

    def lapse(self, writers: Collection[str]) -> None:
        """Released writers have been dead for so long that all is back that comes back by time."""
        self._do("LAPSE", "", *sorted(writers))

    def forget(self, before_us: int) -> None:
        """Forget purses whose window ended before."""
        self._do("FORGET", "", before_us)

    def held(self) -> Sequence[Held]:
        """Every purse, by name."""
        rows = cast("dict[str, str]", self._ask("HGETALL", f"{PREFIX}pots"))
        found = ((name, row.split()) for name, row in sorted(rows.items()))
        return [Held(name, int(row[1]), int(row[2])) for name, row in found]

    def notice(self, notice: Notice) -> bool:
        """Keep a notice; whether it is the first of its purse and part."""
        field, said = f"{notice.ppm} {notice.purse}", msgspec.json.encode(notice).decode()
        return self._ask("HSETNX", f"{PREFIX}notices", field, said) == 1

    def notices(self) -> Sequence[Notice]:
        """All that were kept, oldest first."""
        rows = cast("dict[str, str]", self._ask("HGETALL", f"{PREFIX}notices"))
        found = [msgspec.json.decode(row, type=Notice) for row in rows.values()]
        return sorted(found, key=lambda each: (each.at_us, each.purse))

    def close(self) -> None:
        """Let go of it."""
        self._client.close()

    def _do(self, name: str, writer: str, *arguments: str | int) -> object:
        """Run a script. Raises: StoreAwayError."""
        keys = [*(f"{PREFIX}{each}" for each in _NAMES), f"{PREFIX}lease:{writer}"]
        with self._lock:
            self.round_trips += 1
            try:
                return self._scripts[name](keys=keys, args=arguments)
            except ValkeyError as exc:
                raise StoreAwayError from exc

    def _ask(self, *command: str) -> object:
        """Run a command. Raises: StoreAwayError."""
        with self._lock:
            self.round_trips += 1
            try:
                return cast("object", self._client.execute_command(*command))
            except ValkeyError as exc:
                raise StoreAwayError from exc
