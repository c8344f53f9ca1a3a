"""Notifying: what a service manager is told of ``steelyard up``, should one have started it.

Source: sd_notify(3), sd_watchdog_enabled(3); only what is sent to its socket, no library.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time

READY = "READY=1"
WATCHDOG = "WATCHDOG=1"

_PINGS = 2
"""How often the manager hears of us in the time after which it would take us for stuck."""


def tell(*states: str) -> None:
    """Tell the manager; nothing, without one. One that is gone is not missed."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.sendto("\n".join(states).encode(), address.replace("@", "\0", 1))
        except OSError:
            return


def reloading() -> None:
    """The studio's files are read anew; ``READY`` follows."""
    tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping(seconds: float) -> None:
    """What runs is ended, within so long, whatever the manager had been told of that."""
    tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")


async def stay_awake() -> None:
    """Say again and again that the loop comes round, if the manager listens for it."""
    after_us, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not after_us or pid not in {None, str(os.getpid())}:
        return
    while True:
        tell(WATCHDOG)
        await asyncio.sleep(int(after_us) / 1_000_000 / _PINGS)
