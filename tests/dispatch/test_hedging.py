"""Second attempts beside the first, and copies of calls: who answers, who pays."""

from __future__ import annotations

import asyncio

import pytest

from steelyard.catalogue.routes import Part, Route
from steelyard.dispatch.calls import Answer
from steelyard.dispatch.serve import serve
from steelyard.values.usage import UsageRecord
from tests.dispatch.scripted import (
    BROKEN,
    OK,
    STREAM,
    Says,
    Scene,
)
from tests.dispatch.test_serve import DONE, EVENTS, WHOLE, until

PROMPT = {"input_tokens": 7, "ingress_bytes": 60, "compute_ms": 0}


def tries(record: UsageRecord) -> list[tuple[str, str, dict[str, int]]]:
    return [(each.deployment, each.error or each.outcome, each.produced) for each in record.tries]


HEDGED = Route(model="m", deployments=("a", "b"), hedge_ms=10)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_second_attempt_answers_when_the_first_is_slow(streamed):
    never = asyncio.Event()
    fine = STREAM if streamed else OK
    scene = Scene(streamed=streamed, a=Says(wait=never), b=fine)
    served = await serve(scene.scene(HEDGED), scene)
    assert served == (None if streamed else Answer(WHOLE))
    (record,) = scene.records
    assert (record.deployment, record.outcome, record.attempts) == ("b", "completed", 2)
    assert [(each.attempt, each.deployment, each.outcome) for each in record.tries] == [
        (1, "a", "cancelled")
    ]
    assert record.tries[0].produced["input_tokens"] == 7
    assert scene.places["a"].cancelled == 1
    second = scene.announcements[1]
    assert [(each.deployment, each.outcome) for each in second.tries] == [("a", "interrupted")]
    assert scene.noted["x-steelyard-deployment"] == "b"


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_first_attempt_still_wins_when_it_answers_first(streamed):
    first, never = asyncio.Event(), asyncio.Event()
    fine = (STREAM if streamed else OK)._replace(wait=first)
    scene = Scene(streamed=streamed, a=fine, b=Says(wait=never))
    call = asyncio.create_task(serve(scene.scene(HEDGED), scene))
    await until(lambda: "b" in scene.asked_of())
    first.set()
    await call
    (record,) = scene.records
    assert (record.deployment, record.outcome) == ("a", "completed")
    assert [(each.attempt, each.outcome) for each in record.tries] == [(2, "cancelled")]
    if streamed:
        assert scene.got == b"".join(EVENTS[:3]) + DONE


async def test_a_first_attempt_that_fails_leaves_the_call_to_the_second():
    first, second = asyncio.Event(), asyncio.Event()
    scene = Scene(a=BROKEN._replace(wait=first), b=OK._replace(wait=second))
    call = asyncio.create_task(serve(scene.scene(HEDGED), scene))
    await until(lambda: "b" in scene.asked_of())
    first.set()
    await asyncio.sleep(0.01)
    second.set()
    assert await call == Answer(WHOLE)
    assert tries(scene.records[0]) == [("a", "upstream_broken", PROMPT)]


async def test_a_quick_answer_needs_no_second_attempt():
    scene = Scene(a=OK, b=OK)
    assert await serve(scene.scene(HEDGED), scene) == Answer(WHOLE)
    assert scene.asked_of() == {"a": 1}


@pytest.mark.parametrize("hung_up", [True, False])
async def test_a_caller_or_a_worker_that_goes_away_ends_both_attempts(hung_up):
    never = asyncio.Event()
    scene = Scene(a=Says(wait=never), b=Says(wait=never))
    desk = scene.scene(HEDGED)
    call = asyncio.create_task(serve(desk, scene))
    await until(lambda: "b" in scene.asked_of())
    if hung_up:
        scene.hung_up.set()
    else:
        assert not await desk.drain(0)
    await asyncio.wait([call])
    (record,) = scene.records
    assert record.outcome == ("cancelled" if hung_up else "interrupted")
    assert (record.meters, len(record.tries)) == ({}, 1)
    assert desk.in_flight == 0
    assert all(seen.in_flight == 0 for seen in desk.router.vitals.values())
    call.exception()


SHADOW = Route(model="m", deployments=("a",), shadow=Part(deployment="big-1", share_ppm=1_000_000))


async def test_a_shadow_is_recorded_as_ours_and_nobody_waits_for_it():
    later = asyncio.Event()
    scene = Scene(a=OK, big_1=OK._replace(wait=later))
    desk = scene.scene(SHADOW)
    assert await serve(desk, scene) == Answer(WHOLE)
    assert [record.shadow_of for record in scene.records] == [None]
    later.set()
    await until(lambda: not desk.shadows)
    copy = scene.records[1]
    assert (copy.model, copy.deployment) == ("big", "big-1")
    assert copy.shadow_of == scene.records[0].call_id != copy.call_id
    assert copy.meters == {}
    assert copy.produced is not None
    assert copy.produced["output_tokens"] == 4
    assert desk.in_flight == 0


async def test_a_shadow_of_a_stream_is_read_to_its_end():
    scene = Scene(streamed=True, a=STREAM, big_1=STREAM)
    desk = scene.scene(SHADOW)
    await serve(desk, scene)
    await until(lambda: not desk.shadows)
    assert scene.got == b"".join(EVENTS[:3]) + DONE
    assert {record.deployment for record in scene.records} == {"a", "big-1"}


async def test_shadows_are_bounded():
    never = asyncio.Event()
    scene = Scene(a=OK, big_1=OK._replace(wait=never))
    desk = scene.scene(SHADOW)
    for _ in range(40):
        assert await serve(desk, scene) == Answer(WHOLE)
    assert len(desk.shadows) == 16
    assert not await desk.drain(0)
    await until(lambda: not desk.shadows)
