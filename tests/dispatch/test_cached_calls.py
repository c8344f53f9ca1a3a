"""A call answered from the cache, on a desk of fakes: what happens, in which order."""

from __future__ import annotations

import pytest
from msgspec import structs

from steelyard.dispatch.cache import HIT, Cache, Rule
from steelyard.dispatch.calls import Answer, Arrival, Ask, CallerGoneError
from steelyard.dispatch.desk import Desk
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.serve import serve
from steelyard.metering.journal import JournalError, JournalFullError
from tests.dispatch.studio import DEPLOYMENT, KEY
from tests.dispatch.test_serve import DONE, EVENTS, WHOLE, World

RULE = Rule(models=("*",), keys=("*",), ttl_s=60, bytes_max=1 << 20)


async def answered(*, streamed: bool = True) -> tuple[World, Desk]:
    """A desk on which the world's call was answered once."""
    world = World(*([*EVENTS, DONE] if streamed else [WHOLE]), streamed=streamed)
    desk = world.desk()
    desk.cache = Cache([RULE])
    await serve(desk, world)
    world.log.clear()
    world.got = b""
    return world, desk


async def test_a_hit_is_recorded_before_anything_of_it_is_sent():
    world, desk = await answered()
    assert await serve(desk, world) is None
    assert world.log == ["ask", "record", "settled", "begin", "send"]
    assert world.headers == HIT
    assert world.got == b"".join(EVENTS[:3]) + DONE
    record = world.records[-1]
    assert record.meters == {
        "cache_hits": 1,
        "ingress_bytes": 60,
        "egress_bytes": len(world.got),
    }
    assert (record.deployment, record.attempts, record.status) == (DEPLOYMENT, 0, 200)


async def test_a_plain_hit_is_recorded_before_it_is_given():
    world, desk = await answered(streamed=False)
    assert await serve(desk, world) == Answer(WHOLE, HIT)
    assert world.log == ["ask", "record", "settled"]


@pytest.mark.parametrize(
    ("fault", "code", "ends"),
    [
        (JournalFullError("full"), Code.JOURNAL_FULL, False),
        (JournalError("gone"), Code.JOURNAL_FAILED, True),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_hit_that_can_not_be_recorded_is_not_given(streamed, fault, code, ends):
    world, desk = await answered(streamed=streamed)
    world.journal_fails["record"] = fault
    served = await serve(desk, world)
    assert isinstance(served, Refusal)
    assert served.code == code
    assert desk.failed.is_set() is ends
    assert world.got == b""


async def test_a_caller_that_hung_up_leaves_the_cache_as_it_was():
    world, desk = await answered()
    world.hung_up.set()
    with pytest.raises(CallerGoneError):
        await serve(desk, world)
    world.hung_up.clear()
    assert await serve(desk, world) is None
    assert world.log[-2:] == ["begin", "send"]


async def test_an_answer_that_could_not_be_recorded_is_not_kept():
    world = World(WHOLE, WHOLE, streamed=False)
    desk = world.desk()
    desk.cache = Cache([RULE])
    world.journal_fails["record"] = JournalError("gone")
    await serve(desk, world)
    assert desk.cache.shelves[0].bytes == 0


async def test_an_answer_of_a_deployment_that_is_not_open_any_more_is_not_given():
    world, desk = await answered(streamed=False)
    world.parts.append(WHOLE)
    desk.snapshot = structs.replace(
        desk.snapshot,
        places={
            name: tuple(each for each in places if each.deployment.id != DEPLOYMENT)
            for name, places in desk.snapshot.places.items()
        },
        routes={},
    )
    desk.transports = {"second": world}
    assert await serve(desk, world) == Answer(WHOLE)
    assert world.log[-1] == "settled"
    assert world.records[-1].deployment == "second"


async def test_a_stream_that_was_cut_off_is_not_kept():
    world = World(*EVENTS, DONE)
    desk = world.desk()
    desk.cache = Cache([RULE])
    world.hang_up_at = 1
    await serve(desk, world)
    assert desk.cache.shelves[0].bytes == 0


class Choosy(World):
    """A caller that wants other deployments than the one that answered first."""

    wanted = ""

    @property
    def arrival(self) -> Arrival:
        return structs.replace(super().arrival, deployments=self.wanted)


@pytest.mark.parametrize(
    ("wanted", "hit"),
    [("", True), (DEPLOYMENT, True), ("second", False), (f"!{DEPLOYMENT}", False)],
)
async def test_whoever_wants_other_deployments_gets_a_new_answer(wanted, hit):
    world = Choosy(WHOLE, streamed=False)
    desk = world.desk()
    desk.cache = Cache([RULE])
    key = structs.replace(KEY, routing=True)
    desk.snapshot = structs.replace(desk.snapshot, keys={KEY.sha256: key}, routes={})
    desk.transports = {DEPLOYMENT: world, "second": world}
    await serve(desk, world)
    answered_by = world.records[-1].deployment
    world.wanted = wanted if answered_by == DEPLOYMENT else swapped(wanted)
    world.parts.append(WHOLE)
    assert isinstance(await serve(desk, world), Answer)
    assert ("cache_hits" in world.records[-1].meters) is hit


def swapped(wanted: str) -> str:
    names = {DEPLOYMENT: "second", "second": DEPLOYMENT}
    return wanted and wanted[: -len(wanted.lstrip("!"))] + names[wanted.lstrip("!")]


async def test_a_key_of_one_region_gets_no_answer_of_another():
    world, desk = await answered(streamed=False)
    key = structs.replace(KEY, regions=("cn-*",))
    desk.snapshot = structs.replace(desk.snapshot, keys={KEY.sha256: key})
    assert isinstance(await serve(desk, world), Refusal)
    assert len(world.records) == 1


async def test_the_price_of_a_hit_is_told():
    """In the head of an answer; in the usage of a stream whose caller asked for it."""
    world, desk = await answered(streamed=False)
    await serve(desk, world)
    assert world.noted["x-steelyard-price"] == "0"
    world, desk = await answered()
    ask = await world.ask()
    assert isinstance(ask, Ask)
    world.asked = structs.replace(ask, include_usage=True, include_cost=True)
    await serve(desk, world)
    usage = world.got.split(b"data: ")[-2]
    assert b'"completion_tokens":4,"cost":"0","currency":"CNY"' in usage
    assert world.got.endswith(DONE)
    assert world.records[-1].meters["egress_bytes"] == len(world.got)
