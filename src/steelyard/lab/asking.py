"""Asking gateways for their metrics, over HTTP."""

from __future__ import annotations

import http.client
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 3.0
_HTTP_OK = 200
_HTTP_NOT_FOUND = 404


class UnreadableError(Exception):
    """A gateway's metrics can't be read; the text says what to do."""

    code: Final = "metrics_unreadable"


def url(host: str, port: int) -> str:
    """Where a gateway that listens so is found from its own machine."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on
    near = anywhere.get(host, host)
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"


def metrics(address: str) -> str:
    """The metrics of a gateway, as in ``http://127.0.0.1:8080``. Raises: UnreadableError."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            status, text = response.status, response.read().decode()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as exc:
        msg = f"no gateway answers at {address} ({exc}); is `steelyard up` running?"
        raise UnreadableError(msg) from exc
    if status == _HTTP_NOT_FOUND:
        msg = f"{address} does not show its metrics to us; see `metrics` under [telemetry]"
        raise UnreadableError(msg)
    if status != _HTTP_OK:
        msg = f"{address}/metrics answers with status {status}"
        raise UnreadableError(msg)
    return text
