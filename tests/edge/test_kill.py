"""A worker killed in the middle of 200 streams, again and again: each call has one record."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from steelyard.metering.recovery import recover
from steelyard.system import SystemClock
from steelyard.values import ids
from steelyard.values.usage import Announcement, UsageRecord
from tests.fixtures.gateway import SECRET, Gateway, read, start, write_studio

pytestmark = pytest.mark.xdist_group("kill")

STREAMS = 200
APART_S = 0.002
WORDS = 60
BODY = msgspec.json.encode(
    {
        "model": "echo-1",
        "stream": True,
        "messages": [{"role": "user", "content": "to be or not to be"}],
        "echo": {"words": WORDS, "delay_ms": 10},
    }
)
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
) % (SECRET.encode(), len(BODY), BODY)


async def stream(address: tuple[str, int]) -> tuple[str | None, bool]:
    """One call: its id, as far as its head came, and whether its last event came."""
    data = b""
    try:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST)
        while b"data: [DONE]" not in data and (part := await reader.read(65536)):
            data += part
        writer.close()
    except ConnectionError:
        pass
    if b"x-request-id: " not in data:
        return None, False
    return data.split(b"x-request-id: ")[1][:36].decode(), b"data: [DONE]" in data


async def killed_in_the_middle(gateway: Gateway, answered: int) -> list[tuple[str | None, bool]]:
    """Kill once so many calls are answered; the others have begun, or are about to."""
    left = asyncio.Semaphore(0)

    async def call(place: int) -> tuple[str | None, bool]:
        await asyncio.sleep(place * APART_S)
        try:
            return await stream(gateway.address)
        finally:
            left.release()

    calls = [asyncio.create_task(call(place)) for place in range(STREAMS)]
    for _ in range(answered):
        await left.acquire()
    gateway.process.kill()
    return await asyncio.gather(*calls)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("durability", "rounds"), [("process", 20), ("disk", 5)])
async def test_every_answered_call_has_one_record(tmp_path, durability, rounds):
    write_studio(tmp_path, [], f'durability = "{durability}"')
    chance = random.Random(20261124)
    answered: set[str] = set()
    begun: set[str] = set()
    cut = 0
    for _ in range(rounds):
        gateway = start(tmp_path)
        with gateway.process:
            seen = await killed_in_the_middle(gateway, chance.randrange(1, STREAMS // 2))
        begun |= {call_id for call_id, _ in seen if call_id is not None}
        answered |= {call_id for call_id, whole in seen if whole and call_id is not None}
        cut += sum(1 for _, whole in seen if not whole)
    journal = tmp_path / "journal"
    recover(journal, SystemClock())
    recover(journal, SystemClock())
    records = {ids.text(each.call_id): each for each in read(journal, UsageRecord)}
    counted = Counter(each.call_id for each in read(journal, UsageRecord))
    announced = {each.call_id for each in read(journal, Announcement)}
    assert set(counted.values()) == {1}
    assert set(counted) == announced
    assert begun <= set(records)
    assert {records[call_id].outcome for call_id in answered} == {"completed"}
    assert {records[call_id].meters["output_tokens"] for call_id in answered} == {WORDS}
    interrupted = [each for each in records.values() if each.outcome == "interrupted"]
    assert all(each.meters == {} and each.origin == "recovered" for each in interrupted)
    assert answered
    assert 0 < len(interrupted) <= cut
