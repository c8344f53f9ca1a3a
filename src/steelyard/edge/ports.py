"""Ports: one is taken for each of several processes by a socket of its own."""

from __future__ import annotations

import socket


class PortTakenError(Exception):
    """A port that can't be listened on."""

    code = "port_taken"

    def __init__(self, host: str, number: int, why: str) -> None:
        super().__init__(f"{host}:{number} can't be listened on: {why}; choose another --port")


class Port:
    """A port that processes share: the kernel deals connections out to the sockets that listen.

    A process and its successor have one socket, so that a connection which the one has not accepted
    is the other's.
    """

    def __init__(self, host: str, number: int) -> None:
        self.host = host
        self.number = number

    def take(self) -> socket.socket:
        """One socket more, that does not listen yet; for 0 the first takes any port.

        Raises: PortTakenError.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        taken = socket.socket(family)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.bind((self.host, self.number))
        except OSError as exc:
            taken.close()
            raise PortTakenError(self.host, self.number, exc.strerror or str(exc)) from exc
        self.number = taken.getsockname()[1]
        return taken
