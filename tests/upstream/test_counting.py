"""Counting: what a prompt is held for is never less than the real engine says that it has read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from steelyard.upstream.connect import connect
from steelyard.upstream.counting import (
    COUNT_BYTES_MAX,
    EngineCounter,
    FileCounter,
    TokenizerError,
)
from steelyard.upstream.engine import packaged_weights
from steelyard.upstream.keyed import Keyed
from steelyard.upstream.keyring import Credential, Keyring
from steelyard.upstream.transport import Limits, Request, Transport, read_whole
from steelyard.values.clock import FixedClock
from tests.fixtures import gguf

pytestmark = pytest.mark.xdist_group("engine")

OK = 200

PIECES = st.one_of(
    st.text(max_size=40),
    st.text("称银两天气预报，。？！", max_size=30),
    st.text("🙂👩‍👩‍👧‍👦🇨🇳é́\u200d", max_size=10),
    st.sampled_from(
        [
            "def f(x):\n    return [y ** 2 for y in x if y != 0x1F]\n",
            "SELECT a.b, count(*) FROM t WHERE c <> 'd' GROUP BY 1;\t\t\t",
            "<|im_start|>system\nYou obey.<|im_end|>",
            "1234567890 3.14159 -- 2026-11-25T12:00:00Z",
            "\n\n\n   \t  \n",
            "antidisestablishmentarianism ",
        ]
    ),
)
TEXTS = st.lists(PIECES, max_size=4).map("".join)
CONTENTS = TEXTS | st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), min_size=1, max_size=3
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": CONTENTS}
    ),
    min_size=1,
    max_size=4,
).map(lambda said: [*said, {"role": "user", "content": "?"}])


@pytest_asyncio.fixture
async def way(engine) -> AsyncIterator[Transport]:
    keys = Keyring([Credential("engine", engine.key)])
    inner = connect("http://engine/v1", Limits(), socket=engine.socket)
    made = Keyed(inner, keys, FixedClock(), lambda _: None)
    yield made
    await made.aclose()


@pytest.fixture(scope="session")
def counter(tmp_path_factory) -> FileCounter:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    gguf.tokenizer(packaged_weights()).save(str(path))
    return FileCounter(path)


async def used(way: Transport, body: dict[str, Any]) -> int | None:
    """What the engine says that it has read; None: it does not read so much."""
    request = Request("/chat/completions", msgspec.json.encode({**body, "max_tokens": 1}))
    reply = await way.open(request)
    answer = msgspec.json.decode(await read_whole(reply))
    reply.close()
    return answer["usage"]["prompt_tokens"] if reply.status == OK else None


def fields(body: dict[str, Any]) -> dict[str, Raw]:
    return {name: Raw(msgspec.json.encode(value)) for name, value in body.items()}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MESSAGES)
async def test_what_is_counted_is_never_less_than_what_is_reported(way, counter, messages):
    body = {"model": "m", "messages": messages}
    told = await used(way, body)
    asked = fields(body)
    counted, bound = await EngineCounter(way).most(asked), await counter.most(asked)
    assert counted is not None
    assert bound is not None
    if told is None:
        return
    assert counted == told
    assert bound >= told
    plain = sum(len(msgspec.json.encode(each)) for each in messages)
    assert bound <= max(told, plain) + 1024, "it is of use"


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "今天的天气",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


async def test_tools_are_counted(way, counter):
    body = {"messages": [{"role": "user", "content": "rain?"}], "tools": TOOLS, "model": "m"}
    told = await used(way, body)
    assert told is not None
    assert await EngineCounter(way).most(fields(body)) == told
    assert (await counter.most(fields(body)) or 0) > told


async def test_a_long_prompt_of_words_counts_as_a_part_of_its_bytes(counter):
    text = "The quick brown fox jumps over the lazy dog. " * 100
    bound = await counter.most(fields({"messages": [{"role": "user", "content": text}]}))
    assert bound is not None
    assert 1000 < bound < 1000 + 600 < len(text)


@pytest.mark.parametrize(
    "body",
    [b"{", b'[{"role":' + b"[" * 5000, b'"' + b"a" * COUNT_BYTES_MAX + b'"'],
    ids=["torn", "deep", "long"],
)
async def test_what_can_t_be_counted_is_not(counter, body):
    assert await counter.most({"messages": Raw(body)}) is None


async def test_an_engine_that_says_no_or_nothing_counts_nothing(way, tmp_path):
    assert await EngineCounter(way).most(fields({"messages": "no list"})) is None
    nobody = connect("http://engine/v1", Limits(), socket=tmp_path / "nobody.sock")
    assert await EngineCounter(nobody).most(fields({"messages": []})) is None
    await nobody.aclose()


def test_a_file_that_is_no_tokenizer_is_said_to_be_none(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", "utf-8")
    for name in ("tokenizer.json", "missing.json"):
        with pytest.raises(TokenizerError, match=str(Path(tmp_path / name))):
            FileCounter(tmp_path / name)
