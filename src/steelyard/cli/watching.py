"""Watching for the end of a command that goes on until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading

_STDIN = 0


def stopping(*, supervised: bool) -> threading.Event:
    """Set at SIGTERM and SIGINT; of a supervised command also when standard input closes."""
    event = threading.Event()

    def stop(number: int, frame: object) -> None:
        del number, frame
        event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if supervised:
        threading.Thread(target=_watch_stdin, args=(event,), daemon=True).start()
    return event


def _watch_stdin(event: threading.Event) -> None:
    # Not through sys.stdin, whose lock this thread would hold while the process ends.
    while os.read(_STDIN, 4096):
        pass
    event.set()
