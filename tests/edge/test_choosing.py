"""Who of several deployments answers, over real sockets: affinity, canary, draining, breakers."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import openai
import pytest

from steelyard import app
from steelyard.dispatch.affinity import CHUNK_BYTES
from steelyard.system import SystemClock
from tests.edge.faults import LAST, STOP, TEXT, whole
from tests.fixtures.gateway import (
    OTHER_SECRET,
    SECRET,
    UPSTREAM_SECRET,
    Deployed,
    Gateway,
    start,
    stop,
    write_studio,
)
from tests.fixtures.upstreams import Script, Upstream, answer, raw, serving, stream

pytestmark = pytest.mark.xdist_group("choosing")

ROUTES = """
[[route]]
model = "echo-near"
strategy = "affinity"

[[route]]
model = "echo-trial"
deployments = ["trial-a", "trial-b"]
canary = { deployment = "trial-c", share = "20%" }

[[route]]
model = "cut"
deployments = ["cut-a", "cut-b"]
retries = 3
"""
NEAR = ("near-a", "near-b", "near-c")
ECHOES = {"echo-near": NEAR, "echo-trial": ("trial-a", "trial-b", "trial-c")}
PROBE_S = 2.2
"""After so long a breaker that has opened lets a call through."""


def failing(times: int) -> Script:
    """An upstream that is down for so many calls."""
    down, good, left = answer("503 Down", b"{}"), answer("200 OK", whole()), [times]

    def script(*given: Any) -> None:
        left[0] -= 1
        (good if left[0] < 0 else down)(*given)

    return script


SCRIPTS = {
    "cut-a": raw(stream(TEXT[0], end=False)),
    "cut-b": raw(stream(*TEXT, STOP, LAST, "[DONE]")),
    "shuts": failing(5),
}


@pytest.fixture(scope="module")
def upstream() -> Generator[Upstream]:
    with serving(SCRIPTS) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(upstream, tmp_path_factory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("choosing")
    echoes = [Deployed(model, id=name) for model, names in ECHOES.items() for name in names]
    others = [
        Deployed("cut" if "cut" in name else name, "openai", upstream.url(name), id=name)
        for name in SCRIPTS
    ]
    write_studio(folder, [*echoes, *others])
    main = folder / "steelyard.toml"
    routed = main.read_text("utf-8").replace('id = "acme-key"', 'id = "acme-key"\nrouting = true')
    main.write_text(routed.replace('id = "cut-a"', 'id = "cut-a"\nweight = 1000') + ROUTES, "utf-8")
    started = start(folder)
    try:
        yield started
    finally:
        stop(started)


@contextmanager
def asked(
    gateway: Gateway, model: str, said: str = "hi", session: str | None = None, **fields: Any
) -> Generator[http.client.HTTPResponse]:
    """An answer whose head is there."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=20)
    headers = {"authorization": f"Bearer {SECRET}"}
    if session is not None:
        headers["x-steelyard-session"] = session
    body = {"model": model, "messages": [{"role": "user", "content": said}], **fields}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def place(gateway: Gateway, model: str, said: str = "hi", **more: Any) -> str:
    """Who answers."""
    with asked(gateway, model, said, **more) as response:
        assert response.status == 200, response.read()
        return response.headers["x-steelyard-deployment"]


LONG = "x" * (3 * CHUNK_BYTES)
TOGETHER = [
    # what calls that belong together have in common, and in what each is different
    pytest.param(lambda n, turn: {"session": f"s{n}", "said": f"{n} {turn}"}, id="session"),
    pytest.param(
        lambda n, turn: {"prompt_cache_key": f"k{n}", "said": f"{n} {turn}"}, id="prompt_cache_key"
    ),
    pytest.param(lambda n, turn: {"said": f"{n} {LONG} {turn}"}, id="beginning"),
]


@pytest.mark.parametrize("call", TOGETHER)
def test_calls_that_belong_together_meet_one_cache(gateway, call):
    found = [{place(gateway, "echo-near", **call(n, turn)) for turn in range(3)} for n in range(12)]
    assert [len(each) for each in found] == [1] * 12
    assert set().union(*found) == set(NEAR)


def test_one_session_takes_no_deployment_more_than_its_bound(gateway):
    slow: Any = {"stream": True, "echo": {"words": 200, "delay_ms": 20}}
    with ExitStack() as open_streams:
        busy = Counter(
            open_streams.enter_context(
                asked(gateway, "echo-near", session="everybody's", **slow)
            ).headers["x-steelyard-deployment"]
            for _ in range(12)
        )
    assert max(busy.values()) <= 5, "no more than 1.25 of a third of twelve"
    assert sum(busy.values()) == 12


def test_a_canary_has_its_share_of_the_sessions_and_keeps_them(gateway):
    found = {n: place(gateway, "echo-trial", session=f"t{n}") for n in range(150)}
    tried = [n for n, name in found.items() if name == "trial-c"]
    assert 15 < len(tried) < 50
    assert set(found.values()) == set(ECHOES["echo-trial"])
    assert {place(gateway, "echo-trial", session=f"t{n}") for n in tried[:5]} == {"trial-c"}


CHOSEN = [
    # what the body says, who answers
    ("near-b", "near-b"),
    ("near-c,near-a", "near-c"),
    ("!near-a,!near-b", "near-c"),
]


@pytest.mark.parametrize(("wanted", "name"), CHOSEN)
def test_a_body_chooses_and_no_upstream_sees_it(gateway, upstream, wanted, name):
    for n in range(4):
        assert place(gateway, "echo-near", f"{n}", steelyard={"deployments": wanted}) == name
    ours = {"deployments": "cut-b"}
    assert place(gateway, "cut", steelyard=ours, stream=True) == "cut-b"
    assert "steelyard" not in upstream.asked["cut-b"][-1].fields


def test_a_key_that_may_not_choose_is_refused(gateway):
    body, header = {"steelyard": {"deployments": "near-b"}}, {"x-steelyard-deployments": "near-b"}
    with gateway.client(OTHER_SECRET) as client:
        for given in ({"extra_body": body}, {"extra_headers": header}):
            with pytest.raises(openai.PermissionDeniedError) as caught:
                client.chat.completions.create(
                    model="echo-near", messages=[{"role": "user", "content": "hi"}], **given
                )
            assert caught.value.code == "routing_not_allowed"


def test_nobody_else_is_asked_once_something_was_given(gateway, upstream):
    before = len(upstream.asked.get("cut-b", ()))
    with asked(gateway, "cut", stream=True) as response:
        assert response.headers["x-steelyard-deployment"] == "cut-a"
        got = response.read()
    assert got.count(b'"content"') == 1
    assert b"upstream_broken" in got
    assert len(upstream.asked.get("cut-b", ())) == before


def test_a_breaker_opens_and_one_call_closes_it_again(gateway, upstream):
    def call() -> tuple[int, str | None]:
        with asked(gateway, "shuts") as response:
            code = json.loads(response.read()).get("error", {}).get("code")
            return response.status, code

    assert [call()[0] for _ in range(5)] == [503] * 5
    assert call() == (503, "upstream_unavailable")
    assert len(upstream.asked["shuts"]) == 5, "it is left alone"
    time.sleep(PROBE_S)
    assert [call()[0] for _ in range(3)] == [200] * 3


def test_what_drains_gets_no_calls_and_ends_those_that_it_has(tmp_path, monkeypatch):
    for name, secret in (("ACME", SECRET), ("GLOBEX", OTHER_SECRET), ("UPSTREAM", UPSTREAM_SECRET)):
        monkeypatch.setenv(f"{name}_KEY", secret)
    names = ("left", "stays")
    write_studio(tmp_path, [Deployed("echo-two", id=name) for name in names])
    gateway, main = start(tmp_path), tmp_path / "steelyard.toml"
    process = gateway.process
    try:
        assert {place(gateway, "echo-two") for _ in range(4)} == set(names)
        slow: Any = {"stream": True, "echo": {"words": 60, "delay_ms": 20}}
        with ExitStack() as open_streams:
            streams = [
                open_streams.enter_context(asked(gateway, "echo-two", **slow)) for _ in range(2)
            ]
            assert {each.headers["x-steelyard-deployment"] for each in streams} == set(names)
            drained = main.read_text("utf-8").replace('id = "left"', 'id = "left"\ndraining = true')
            main.write_text(drained, "utf-8")
            app.publish(app.load_studio(tmp_path, serving=True), SystemClock())
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"reload\n")
            process.stdin.flush()
            assert process.stdout.readline()
            assert {place(gateway, "echo-two") for _ in range(6)} == {"stays"}
            assert [each.read().count(b'"content"') for each in streams] == [60, 60]
    finally:
        assert stop(gateway) == 0
