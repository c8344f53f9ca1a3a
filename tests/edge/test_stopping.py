"""Stop when used up, over real sockets: 403 for what is gone, 429 for what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from steelyard.cli.main import cli
from tests.fixtures.gateway import Deployed, Gateway, start, stop, write_studio

HELLO: Any = [{"role": "user", "content": "good morning to you"}]
GIVEN = """
[[grant]]
id = "welcome"
model = "free"
tokens = 5
from = 2026-01-01
used_up = "stop"

[[subscription]]
id = "plan"
model = "plan"
from = 2026-01-01
includes = { calls = { month = 100, "5h" = 2 } }
used_up = "stop"

[[grant]]
id = "paid"
model = "paid"
tokens = 5
from = 2026-01-01
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("stopping")
    write_studio(folder, [Deployed("free"), Deployed("plan"), Deployed("paid")])
    path = folder / "contracts" / "acme.toml"
    path.write_text(path.read_text("utf-8") + GIVEN, "utf-8")
    started = start(folder)
    try:
        yield started
    finally:
        stop(started)


def ask(gateway: Gateway, model: str) -> Any:
    with gateway.client() as client:
        return client.chat.completions.create(model=model, messages=HELLO)


def stopped(gateway: Gateway, model: str, kind: type[openai.APIStatusError]) -> Any:
    """Ask until the call is refused: the books are looked at every second."""
    return _until(lambda: _refusal(gateway, model, kind))


def _refusal(gateway: Gateway, model: str, kind: type[openai.APIStatusError]) -> Any:
    try:
        ask(gateway, model)
    except kind as exc:
        return exc
    return None


def _until(found: Callable[[], Any]) -> Any:
    last = time.monotonic() + 15
    while time.monotonic() < last:
        if (got := found()) is not None:
            return got
        time.sleep(0.1)
    pytest.fail("it was never refused")


def test_a_call_is_refused_once_what_stops_is_booked_as_used_up(gateway):
    for model in ("free", "plan", "plan", "paid"):
        assert ask(gateway, model).usage.total_tokens > 5
    booked = CliRunner().invoke(cli, ["--studio", str(gateway.folder), "clerk", "--once"])
    assert booked.exit_code == 0, booked.output
    gone = stopped(gateway, "free", openai.PermissionDeniedError)
    assert gone.code == "cover_used_up"
    assert "grant 'welcome' of contract 'acme-2026'" in gone.message
    later = stopped(gateway, "plan", openai.RateLimitError)
    assert later.code == "insufficient_quota"
    assert 4 * 3600 < int(later.response.headers["retry-after"]) <= 5 * 3600 + 300
    assert ask(gateway, "paid").usage.total_tokens > 5
    assert ask(gateway, "echo-1").usage.total_tokens > 5
