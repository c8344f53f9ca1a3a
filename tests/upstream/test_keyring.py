"""Which key is used when, and that none is shown."""

from __future__ import annotations

import asyncio

import pytest

from steelyard.upstream.keyed import Keyed
from steelyard.upstream.keyring import (
    BUSY_S,
    REFUSED_S,
    REST_S_MAX,
    Credential,
    Keyring,
)
from steelyard.upstream.transport import Kind, Reply, Request, UpstreamError
from steelyard.values.clock import FixedClock

S = 1_000_000
A, B, C = (Credential(name, f"sk-{name}") for name in "abc")

RESTS = [
    (200, "", 0),
    (400, "", 0),
    (401, "", REFUSED_S),
    (401, "1", REFUSED_S),
    (402, "", REFUSED_S),
    (403, "", 0),
    (429, "", BUSY_S),
    (429, "0", 1),
    (429, "7", 7),
    (429, "99999999999999999999", REST_S_MAX),
    (429, "-1", BUSY_S),
    (429, "٣", BUSY_S),
    (429, "Wed, 21 Oct 2026 07:28:00 GMT", BUSY_S),
    (500, "9", 0),
    (503, "9", 0),
]
"""Status, Retry-After, seconds that the key rests."""


@pytest.mark.parametrize(("status", "retry_after", "rest_s"), RESTS)
def test_how_long_a_key_rests(status, retry_after, rest_s):
    keyring = Keyring([A])
    assert keyring.told(A, status, retry_after, 0) == rest_s
    assert keyring.wait_s(0) == rest_s
    assert keyring.pick(0) == (None if rest_s else A)
    assert keyring.pick(rest_s * S) == A


def test_keys_take_turns():
    keyring = Keyring([A, B, C])
    assert [keyring.pick(0) for _ in range(6)] == [A, B, C, A, B, C]


def test_a_key_that_rests_is_left_out():
    keyring = Keyring([A, B, C])
    keyring.told(B, 401, "", 0)
    assert [keyring.pick(0) for _ in range(4)] == [A, C, A, C]
    assert B in {keyring.pick(REFUSED_S * S) for _ in range(3)}


def test_when_all_rest_the_first_to_wake_is_told():
    keyring = Keyring([A, B])
    keyring.told(A, 429, "30", 0)
    keyring.told(B, 429, "20", 0)
    assert keyring.pick(0) is None
    assert keyring.wait_s(0) == 20
    assert keyring.wait_s(S // 2) == 20
    assert keyring.pick(20 * S) == B


def test_a_shorter_rest_does_not_end_a_longer_one():
    keyring = Keyring([A])
    keyring.told(A, 401, "", 0)
    keyring.told(A, 429, "1", 0)
    assert keyring.pick(2 * S) is None


class Answering:
    """A transport that answers each key as it is told to, and remembers what it was sent."""

    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self.answers = answers
        self.sent: list[str | None] = []

    async def open(self, request: Request) -> Reply:
        self.sent.append(request.key)
        assert request.key is not None
        return Said(*self.answers[request.key])

    async def aclose(self) -> None:
        self.answers = {}


class Said:
    """An answer that is its head."""

    def __init__(self, status: int, retry_after: str) -> None:
        self.status = status
        self._retry_after = retry_after

    def header(self, name: str) -> str:
        return self._retry_after if name == "retry-after" else ""

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        self.status = 0


async def test_requests_carry_the_keys_in_turn():
    clock, told = FixedClock(), list[str]()
    inner = Answering({"sk-a": (401, ""), "sk-b": (200, ""), "sk-c": (429, "7")})
    keyed = Keyed(inner, Keyring([A, B, C]), clock, told.append)
    ask = Request("/x", b"body", (("traceparent", "t"),))
    statuses = [(await keyed.open(ask)).status for _ in range(5)]
    assert statuses == [401, 200, 429, 200, 200]
    assert inner.sent == ["sk-a", "sk-b", "sk-c", "sk-b", "sk-b"]
    assert told == [
        f"key a: status 401; it rests for {REFUSED_S} s",
        "key c: status 429; it rests for 7 s",
    ]


async def test_calls_that_were_under_way_tell_of_a_key_once():
    told = list[str]()

    class Slow(Answering):
        async def open(self, request: Request) -> Reply:
            await asyncio.sleep(0)
            return await super().open(request)

    keyed = Keyed(Slow({"sk-a": (401, "")}), Keyring([A]), FixedClock(), told.append)
    await asyncio.gather(*[keyed.open(Request("/x", b"")) for _ in range(5)])
    assert len(told) == 1


async def test_what_is_left_to_wait_is_for_the_next_key():
    inner = Answering({"sk-a": (429, "30"), "sk-b": (429, "20"), "sk-c": (200, "")})
    keyed = Keyed(inner, Keyring([A, B]), FixedClock(), [].append)
    first = await keyed.open(Request("/x", b""))
    assert (first.status, first.header("retry-after"), first.header("x")) == (429, "", "")
    second = await keyed.open(Request("/x", b""))
    assert (second.status, second.header("retry-after")) == (429, "20")
    assert await second.read() == b""
    second.close()
    alone = await Keyed(inner, Keyring([A]), FixedClock(), [].append).open(Request("/x", b""))
    assert alone.header("retry-after") == "30"


async def test_when_every_key_rests_nothing_is_sent():
    clock = FixedClock()
    inner = Answering({"sk-a": (429, "7")})
    keyed = Keyed(inner, Keyring([A]), clock, [].append)
    assert (await keyed.open(Request("/x", b""))).status == 429
    with pytest.raises(UpstreamError) as caught:
        await keyed.open(Request("/x", b""))
    assert (caught.value.kind, caught.value.retry_after_s) == (Kind.RESTING, 7)
    assert inner.sent == ["sk-a"]
    clock.advance(7 * S)
    assert (await keyed.open(Request("/x", b""))).status == 429


def test_a_credential_shows_its_name_alone():
    assert repr(A) == "Credential('a')"
