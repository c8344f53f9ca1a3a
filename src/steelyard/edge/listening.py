"""Listening: where connections come in, many at a time, and are looked at until they go.

An event loop's own server takes one connection each time that the loop comes round. When a turn is
long, for thousands of streams have something to say in it, those who call anew wait for seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from email.utils import formatdate
from typing import cast

from steelyard.edge.connections import Connection, Listen
from steelyard.edge.ports import Port
from steelyard.edge.rsgi import Application
from steelyard.values.clock import Vigil

BACKLOG = 4096
"""How many connections the kernel may keep waiting for us; it may have a lower bound of its own."""

TAKEN_MAX = 64
"""How many connections are taken in one turn of the loop."""

PAUSE_S = 1
"""How long nobody is taken in when the machine has no more files."""

LOOK_S: float = 1
"""How often connections are looked at, and the date is."""

_log = logging.getLogger(__name__)


class Server:
    """Serves an application until it is told to stop; then calls in flight end, and it does."""

    def __init__(self, application: Application, listen: Listen) -> None:
        self.application = application
        self.listen = listen
        self.connections: set[Connection] = set()
        self.date = formatdate(usegmt=True)
        self.vigil = Vigil(LOOK_S)
        self.stopping = asyncio.Event()
        self._flushing: list[Connection] = []
        self._listening = asyncio.Event()
        self._lingers = False
        self._empty = asyncio.Event()

    async def serve(self) -> None:
        """Listen, until ``stop``; return when all connections are closed."""
        door = _Door(self)
        door.open()
        self._listening.set()
        looking = asyncio.get_running_loop().create_task(self._look())
        try:
            await self.stopping.wait()
            door.close()
            await door.settle()
            self.stop(linger=self._lingers)
            while self.connections:
                self._empty.clear()
                await self._empty.wait()
        finally:
            door.close()
            looking.cancel()
            for each in tuple(self.connections):
                each.abort()

    async def ready(self) -> None:
        """Return when it listens."""
        await self._listening.wait()

    def stop(self, *, linger: bool = False) -> None:
        """Take no more connections, and close those that are idle.

        When they may ``linger``, each is closed after its next answer, or when it would have been.
        """
        self._lingers = linger
        self.stopping.set()
        for each in () if linger else tuple(self.connections):
            each.leave()

    def flush_soon(self, connection: Connection) -> None:
        """Flush a connection with all others that have something to send, before the loop goes on.

        In a row: who wakes for the first is awake for the others.
        """
        if not self._flushing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._flushing.append(connection)

    def _flush(self) -> None:
        flushing, self._flushing = self._flushing, []
        for each in flushing:
            each.flush()

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self.connections.discard(connection)
        self._empty.set()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.vigil.look(loop.time())
            self.date = formatdate(usegmt=True)
            for each in tuple(self.connections):
                each.look()
            await asyncio.sleep(self.vigil.each_s)


class _Door:
    """Takes connections in from ``open`` to ``close``."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._joining: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Listen. Raises: PortTakenError; OSError."""
        self._loop, listen = asyncio.get_running_loop(), self._server.listen
        self._socket = listen.socket or Port(listen.host, listen.port).take()
        self._socket.listen(BACKLOG)
        self._socket.settimeout(0)
        self._loop.add_reader(self._socket, self._take)

    def close(self) -> None:
        """Take nobody in any more."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def settle(self) -> None:
        """Wait for those who have come in and are no connections yet."""
        await asyncio.gather(*self._joining)

    def _take(self) -> None:
        for _ in range(TAKEN_MAX):
            try:
                taken, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                _log.warning("no connections are taken in for %d s: %s", PAUSE_S, exc)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(PAUSE_S, self._go_on)
                return
            task = self._loop.create_task(self._join(taken))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._take)

    async def _join(self, taken: socket.socket) -> None:
        taken.settimeout(0)
        # It has a protocol's methods, and is none by class.
        protocol = cast("asyncio.Protocol", Connection(self._server))
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, taken)
        except OSError:
            taken.close()  # it is gone already
