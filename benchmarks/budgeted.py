"""Budgeted: what LiteLLM's proxy lets through on a budget for a thousand calls, 64 at once.

The budget is its provider's, which one process keeps in memory. That of a virtual key would need a
database, and the engine of prisma for it, which is downloaded when it is first used and can't be
had everywhere.
"""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from benchmarks import load, peers
from benchmarks.load import MissingError, Way

AT_ONCE = 64
COVERED = 1000
"""How many calls the budget in ``setup/litellm_budget.yaml`` covers: each costs 106 millionths."""

CALLS_MAX = 10 * COVERED
SETTLE_S = 2.0
ANSWER_S = 60
OK, OVER = 200, 429

_ASKED = {"messages": [{"role": "user", "content": "good day"}], "max_tokens": 32}


def measure() -> Mapping[str, object]:
    """What was spent as a share of the budget; or why that is not known."""
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            load.mock(1000) as mock,
            peers.litellm(mock, Path(folder), "litellm_budget.yaml") as peer,
        ):
            time.sleep(SETTLE_S)
            return {"litellm_overspent_share": _answered(peer.plain) / COVERED}
    except MissingError as exc:
        return {"litellm": f"not measured: {exc}"}


def _answered(way: Way) -> int:
    """How many calls are answered until each caller was refused once. Raises: MissingError."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(_call, [way] * AT_ONCE))
    return sum(found)


def _call(way: Way) -> int:
    host, _, path = way.url.removeprefix("http://").partition("/")
    line = http.client.HTTPConnection(host, timeout=ANSWER_S)
    body = msgspec.json.encode({**_ASKED, "model": way.model})
    headers = {"authorization": f"Bearer {way.key}", "content-type": "application/json"}
    try:
        for answered in range(CALLS_MAX):
            line.request("POST", f"/{path}", body, headers)
            reply = line.getresponse()
            reply.read()
            if reply.status == OVER:
                return answered
            if reply.status != OK:
                msg = f"it answers with status {reply.status}"
                raise MissingError(msg)
    except OSError as exc:
        msg = f"it does not answer: {exc}"
        raise MissingError(msg) from exc
    finally:
        line.close()
    msg = "it refuses no call"
    raise MissingError(msg)
