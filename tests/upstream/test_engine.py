"""The embedded engine: the real server on the real weights, as a supervisor would run it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio

from steelyard.upstream.engine import (
    EXIT_FAILED,
    EXIT_REFUSED,
    EXIT_STOPPED,
    KEY_VARIABLE,
    EngineFailedError,
    EngineOptions,
    command,
    environment,
    harmless,
    options_from,
    packaged_weights,
    wait_ready,
)
from tests.fixtures.engine import KEY, Engine

pytestmark = pytest.mark.xdist_group("engine")

PATIENCE_S = 30
CHAT = {
    "messages": [{"role": "user", "content": "Say hello to the silver merchant."}],
    "max_tokens": 8,
    "temperature": 0,
}

Post = Callable[..., Any]


def http(engine: Engine) -> httpx2.AsyncClient:
    """A client that uses no connection twice, which the engine closes without saying so."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    way = httpx2.AsyncHTTPTransport(uds=str(engine.socket), limits=limits)
    return httpx2.AsyncClient(transport=way, base_url="http://engine", timeout=PATIENCE_S)


@pytest_asyncio.fixture
async def post(engine: Engine) -> AsyncIterator[Post]:
    """POST to the engine: status and text."""
    async with http(engine) as client:

        async def send(path: str, body: dict[str, Any], key: str = KEY) -> tuple[int, str]:
            answer = await client.post(path, json=body, headers={"authorization": f"Bearer {key}"})
            return answer.status_code, answer.text

        yield send


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [msgspec.json.decode(line) for line in lines[:-1]]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_chat_tells_what_it_used(post, engine):
    status, text = await post("/v1/chat/completions", CHAT)
    answer = msgspec.json.decode(text)
    assert (status, answer["model"]) == (200, engine.model)
    assert answer["choices"][0]["message"]["content"]
    used = answer["usage"]
    assert used["completion_tokens"] == 8
    assert 0 <= used["prompt_tokens_details"]["cached_tokens"] < used["prompt_tokens"]


async def test_cached_tokens_are_inside_the_prompt_tokens(post):
    _, first = await post("/v1/chat/completions", CHAT)
    _, again = await post("/v1/chat/completions", CHAT)
    first, again = (msgspec.json.decode(text)["usage"] for text in (first, again))
    assert again["prompt_tokens"] == first["prompt_tokens"]
    assert again["prompt_tokens_details"]["cached_tokens"] == first["prompt_tokens"] - 1


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream_tells_what_it_used_when_asked(post, asked):
    body = CHAT | {"stream": True} | ({"stream_options": {"include_usage": True}} if asked else {})
    status, text = await post("/v1/chat/completions", body)
    chunks = events(text)
    assert status == 200
    assert len([chunk for chunk in chunks if "usage" in chunk]) == asked
    if asked:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == 8


async def test_a_prompt_can_be_counted_as_it_will_be_reported(post):
    _, prompt = await post("/apply-template", {"messages": CHAT["messages"]})
    body = {
        "content": msgspec.json.decode(prompt)["prompt"],
        "add_special": True,
        "parse_special": True,
    }
    _, counted = await post("/tokenize", body)
    _, in_one_step = await post("/v1/chat/completions/input_tokens", CHAT)
    _, answer = await post("/v1/chat/completions", CHAT)
    reported = msgspec.json.decode(answer)["usage"]["prompt_tokens"]
    assert len(msgspec.json.decode(counted)["tokens"]) == reported
    assert msgspec.json.decode(in_one_step)["input_tokens"] == reported


async def test_embeddings_in_openai_shape(post, engine):
    body = {"input": ["the silver merchant", "the gold trader", "hello"]}
    status, text = await post("/v1/embeddings", body)
    answer = msgspec.json.decode(text)
    assert (status, answer["object"], answer["model"]) == (200, "list", engine.model)
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    merchant, trader, hello = (row["embedding"] for row in answer["data"])
    assert len(merchant) == 576
    assert cosine(merchant, merchant) == pytest.approx(1, abs=1e-4)
    assert cosine(merchant, trader) > cosine(merchant, hello)
    used = answer["usage"]
    assert used["prompt_tokens"] == used["total_tokens"] > 0


async def test_an_embedding_does_not_depend_on_what_was_cached(post):
    words = "the silver merchant weighs coins on a steelyard"

    async def embedded(text: str) -> list[float]:
        _, answer = await post("/v1/embeddings", {"input": text})
        return msgspec.json.decode(answer)["data"][0]["embedding"]

    fresh = await embedded(words)
    for before in (words, f"{words} in the old town", "the silver"):
        await embedded(before)
        assert cosine(fresh, await embedded(words)) > 0.99


async def test_an_input_longer_than_a_batch_is_embedded(post):
    status, text = await post("/v1/embeddings", {"input": "silver coin " * 140})
    assert status == 200
    assert msgspec.json.decode(text)["usage"]["prompt_tokens"] > EngineOptions(port=1).batch_tokens


async def test_chat_and_embeddings_at_once(post):
    calls = [
        post("/v1/embeddings", {"input": f"silver {number}"})
        if number % 2
        else post("/v1/chat/completions", CHAT | {"stream": True})
        for number in range(12)
    ]
    assert {status for status, _ in await asyncio.gather(*calls)} == {200}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/tokenize"])
async def test_a_wrong_key_is_refused(post, path):
    status, text = await post(
        path, CHAT | {"input": "x", "content": "x"}, "another-key-than-its-own"
    )
    assert status == 401
    assert msgspec.json.decode(text)["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_is_too_long_is_refused(post, stream):
    body = CHAT | {"messages": [{"role": "user", "content": "silver " * 2000}], "stream": stream}
    status, text = await post("/v1/chat/completions", body)
    error = msgspec.json.decode(text)["error"]
    assert (status, error["type"]) == (400, "exceed_context_size_error")
    assert error["n_prompt_tokens"] > error["n_ctx"] == 512


async def test_an_answer_stops_where_its_context_ends(post):
    body = CHAT | {"messages": [{"role": "user", "content": "silver " * 440}], "max_tokens": 200}
    status, text = await post("/v1/chat/completions", body | {"ignore_eos": True})
    answer = msgspec.json.decode(text)
    assert (status, answer["choices"][0]["finish_reason"]) == (200, "length")
    assert answer["usage"]["total_tokens"] == 512


async def test_hanging_up_frees_the_slot(engine):
    headers = {"authorization": f"Bearer {KEY}"}
    async with http(engine) as client:

        async def working() -> bool:
            answer = await client.get("/metrics", headers=headers)
            return "\nllamacpp:requests_processing 0\n" not in answer.text

        body = CHAT | {"stream": True, "max_tokens": 400, "ignore_eos": True}
        path = "/v1/chat/completions"
        async with client.stream("POST", path, json=body, headers=headers) as answer:
            await anext(answer.aiter_lines())
            assert await working()
        async with asyncio.timeout(5):
            while await working():  # noqa: ASYNC110  it is another process that changes
                await asyncio.sleep(0.05)


def test_only_its_owner_reaches_the_socket(engine):
    assert stat.S_IMODE(engine.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(engine.socket.parent.stat().st_mode) == 0o700


def run(options: EngineOptions, key: str = KEY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(options),
        env={**os.environ, KEY_VARIABLE: key},
        input="",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_a_second_engine_is_refused(engine):
    ended = run(EngineOptions(socket=str(engine.socket)))
    assert (ended.returncode, ended.stdout) == (EXIT_REFUSED, "")
    assert "another engine serves" in ended.stderr


def test_no_start_without_a_secret(tmp_path):
    ended = run(EngineOptions(socket=str(tmp_path / "e.sock")), key="short")
    assert (ended.returncode, ended.stdout) == (EXIT_REFUSED, "")
    assert KEY_VARIABLE in ended.stderr


def test_no_start_without_weights(tmp_path):
    (tmp_path / "not.gguf").write_bytes(b"not weights")
    options = EngineOptions(socket=str(tmp_path / "e.sock"), weights=str(tmp_path / "not.gguf"))
    ended = run(options)
    assert (ended.returncode, ended.stdout) == (EXIT_FAILED, "")


def test_a_file_is_not_replaced_by_a_socket(tmp_path):
    (tmp_path / "e.sock").write_text("mine")
    assert run(EngineOptions(socket=str(tmp_path / "e.sock"))).returncode == EXIT_REFUSED
    assert (tmp_path / "e.sock").read_text() == "mine"


async def started(options: EngineOptions) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(options),
        env=environment(KEY, os.environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("how", ["sigterm", "its pipe closes"])
async def test_it_stops_when_told_and_cleans_up(tmp_path, how):
    socket = tmp_path / "e.sock"
    process = await started(EngineOptions(socket=str(socket), context_tokens=512, slots=1))
    assert process.stdout is not None
    assert process.stdin is not None
    ready = await wait_ready(process.stdout, PATIENCE_S)
    assert (ready.socket, ready.pid) == (str(socket), process.pid)
    assert socket.is_socket()
    if how == "sigterm":
        process.terminate()
    else:
        process.stdin.close()
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == EXIT_STOPPED
    assert not socket.exists()


PARENT = """
import subprocess, sys
stdin = subprocess.PIPE if sys.argv[1] == "pipe" else subprocess.DEVNULL
sys.exit(subprocess.Popen(sys.argv[2:], stdin=stdin).wait())
"""


@pytest.mark.parametrize("sign", ["pipe", "adopted"])
def test_it_dies_with_its_parent(tmp_path, sign):
    options = EngineOptions(socket=str(tmp_path / "e.sock"), context_tokens=512, slots=1)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, sign, *command(options)],
        env=environment(KEY, os.environ),
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline().startswith(b'{"ready":true')
        finally:
            parent.kill()
    patience = time.monotonic() + PATIENCE_S
    while not lock_is_free(tmp_path / "e.sock.lock"):
        assert time.monotonic() < patience, "the engine outlives its parent"
        time.sleep(0.05)
    assert not (tmp_path / "e.sock").exists()


def lock_is_free(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.mark.parametrize("said", [b"", b"hello\n", b'{"ready":true}\n', b"x" * 100_000])
async def test_what_is_no_ready_line_is_a_failure(said):
    stdout = asyncio.StreamReader()
    stdout.feed_data(said)
    stdout.feed_eof()
    with pytest.raises(EngineFailedError):
        await wait_ready(stdout)


async def test_waiting_ends():
    with pytest.raises(EngineFailedError, match="not ready after"):
        await wait_ready(asyncio.StreamReader(), 0.01)


OPTIONS = [
    EngineOptions(socket="run/e.sock"),
    EngineOptions(port=8091, weights="a b.gguf", logs=True, prompt_cache_mib=0),
    EngineOptions(
        socket="e.sock", model="a=b", threads=1, slots=1, context_tokens=512, batch_tokens=32
    ),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_options_survive_the_command_line(options):
    assert options_from(command(options)[3:]) == options


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--socket=e.sock", "--port=1"],
        ["--socket=" + "s" * 99 + ".sock"],
        ["--socket=run/engine"],
        ["--socket="],
        ["--port=0"],
        ["--port=65536"],
        ["--socket=e.sock", "--threads=0"],
        ["--socket=e.sock", "--slots=65"],
        ["--socket=e.sock", "--context-tokens=511"],
        ["--socket=e.sock", "--batch-tokens=many"],
        ["--socket=e.sock", "--prompt-cache-mib=-1"],
    ],
)
def test_options_out_of_bounds(arguments):
    with pytest.raises(ValueError, match=r"an engine has|a socket's path|Expected"):
        options_from(arguments)


def test_a_short_key_is_no_secret():
    with pytest.raises(ValueError, match=KEY_VARIABLE):
        environment("short", {})
    assert environment(KEY, {"A": "b"}) == {"A": "b", KEY_VARIABLE: KEY}


def test_an_engine_knows_no_secret_of_others():
    base = {"PATH": "/bin", "LC_ALL": "C", "STEELYARD_MASTER_KEY": "m", "DEEPSEEK_API_KEY": "sk"}
    assert harmless(base) == {"PATH": "/bin", "LC_ALL": "C"}


def test_the_weights_are_installed():
    assert packaged_weights().suffix == ".gguf"
