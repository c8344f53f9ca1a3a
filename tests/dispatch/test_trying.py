"""Several attempts of one call, on a desk of fakes: what is tried, told, recorded and paid."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from steelyard.catalogue.documents import CostRule
from steelyard.catalogue.routes import Part, Route
from steelyard.dispatch.breaker import CLOSED
from steelyard.dispatch.calls import Answer
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.retrying import BUDGET_MIN
from steelyard.dispatch.serve import serve
from steelyard.governance.keys import Key
from steelyard.metering.journal import JournalError, JournalFullError
from steelyard.metering.recovery import closing
from steelyard.upstream.transport import Kind, UpstreamError
from steelyard.values import money
from steelyard.values.usage import UsageRecord
from tests.dispatch.scripted import (
    BROKEN,
    CUT,
    DOWN,
    NOTHING,
    OK,
    STREAM,
    STUDIO,
    WRONG,
    Place,
    Says,
    Scene,
    busy,
)
from tests.dispatch.studio import KEY
from tests.dispatch.test_serve import DONE, EVENTS, WHOLE, until
from tests.rating.documents import rate, rates, shares

UNREACHABLE = UpstreamError(Kind.UNREACHABLE, "refused")
PROMPT = {"input_tokens": 7, "ingress_bytes": 60, "compute_ms": 0}


def tries(record: UsageRecord) -> list[tuple[str, str, dict[str, int]]]:
    return [(each.deployment, each.error or each.outcome, each.produced) for each in record.tries]


FAILURES = [
    # what a, b and c do, who is asked, what the caller gets, who answered, the attempts before
    ((OK, OK, OK), "a", None, "a", []),
    ((UNREACHABLE, OK, OK), "ab", None, "b", [("a", "upstream_unreachable", {})]),
    ((BROKEN, OK, OK), "ab", None, "b", [("a", "upstream_broken", PROMPT)]),
    ((NOTHING, OK, OK), "ab", None, "b", [("a", "upstream_invalid_response", {})]),
    ((DOWN, OK, OK), "ab", None, "b", [("a", "upstream_error", {})]),
    ((busy(), OK, OK), "ab", None, "b", [("a", "upstream_error", {})]),
    ((busy("3600"), OK, OK), "ab", None, "b", [("a", "upstream_error", {})]),
    ((WRONG, OK, OK), "a", Code.UPSTREAM_ERROR, "a", []),
    ((BROKEN, DOWN, OK), "abc", None, "c",
     [("a", "upstream_broken", PROMPT), ("b", "upstream_error", {})]),
    ((BROKEN, DOWN, busy()), "abc", Code.UPSTREAM_ERROR, "c",
     [("a", "upstream_broken", PROMPT), ("b", "upstream_error", {})]),
]  # fmt: skip


@pytest.mark.parametrize(("scripts", "asked", "code", "answered", "before"), FAILURES)
async def test_another_deployment_is_asked_when_one_fails(scripts, asked, code, answered, before):
    scene = Scene(**dict(zip("abc", scripts, strict=True)))
    served = await serve(scene.scene(), scene)
    assert "".join(scene.asked_of()) == asked
    (record,) = scene.records
    assert (record.model, record.deployment, record.asked) == ("m", answered, None)
    assert (tries(record), record.attempts) == (before, len(asked))
    assert [each.attempt for each in scene.announcements] == list(range(1, len(asked) + 1))
    assert [each.deployment for each in scene.announcements] == list(asked)
    assert scene.noted["x-steelyard-attempts"] == str(len(asked))
    assert scene.noted["x-steelyard-deployment"] == answered
    if code is None:
        assert served == Answer(WHOLE)
        assert record.meters["output_tokens"] == 4
    else:
        assert isinstance(served, Refusal)
        assert (served.code, record.meters) == (code, {})


STREAMS = [
    # what a does before or after its first event, who is asked, what the caller gets
    (Says(parts=(UpstreamError(Kind.BROKEN, "reset"),)), "ab", b"".join(EVENTS[:3]) + DONE),
    (Says(parts=()), "ab", b"".join(EVENTS[:3]) + DONE),
    (Says(parts=(b'data: {"error":{"message":"asleep"}}\n\n',)), "ab", b"".join(EVENTS[:3]) + DONE),
    (CUT, "a", EVENTS[0]),
]


@pytest.mark.parametrize(("script", "asked", "got"), STREAMS)
async def test_nothing_is_tried_again_after_the_first_byte(script, asked, got):
    scene = Scene(streamed=True, a=script, b=STREAM)
    await serve(scene.scene(), scene)
    assert "".join(scene.asked_of()) == asked
    assert scene.got == got
    (record,) = scene.records
    assert record.outcome == ("completed" if asked == "ab" else "failed")
    assert record.meters["output_tokens"] == (4 if asked == "ab" else 1)


ROUNDS = [
    # retries, what the one deployment does in turn, how often it is asked
    (None, (DOWN, OK), 1),
    (0, (DOWN, OK), 1),
    (1, (DOWN, OK), 2),
    (2, (DOWN, DOWN, OK), 3),
    (2, (DOWN, DOWN, DOWN, OK), 3),
    (2, (busy("0"), OK), 2),
    (2, (busy("11"), OK), 1),
    (5, (WRONG, OK), 1),
]


@pytest.mark.parametrize(("retries", "scripts", "asked"), ROUNDS)
async def test_one_deployment_is_asked_again_as_often_as_its_route_says(retries, scripts, asked):
    scene = Scene(a=scripts)
    route = Route(model="m", deployments=("a",), retries=retries)
    served = await serve(scene.scene(route), scene)
    assert scene.asked_of() == {"a": asked}
    assert isinstance(served, Answer) is (scripts[asked - 1] is OK)
    assert scene.records[0].attempts == asked


async def test_nobody_waits_longer_than_the_call_may_take():
    scene = Scene(a=(busy("5"), OK))
    route = Route(model="m", deployments=("a",), retries=1)
    desk = scene.scene(route, total_s=4)
    assert isinstance(await serve(desk, scene), Refusal)
    assert scene.asked_of() == {"a": 1}


async def test_a_budget_keeps_attempts_from_multiplying():
    scene = Scene(a=DOWN, b=DOWN, c=DOWN)
    desk = scene.scene(retry_percent=0)
    for _ in range(12):
        await serve(desk, scene)
        for seen in desk.router.vitals.values():
            seen.breaker = CLOSED
    assert sum(scene.asked_of().values()) == 12 + BUDGET_MIN


async def test_a_deployment_that_keeps_failing_is_left_alone_and_then_tried_by_one_call():
    scene = Scene(a=(DOWN,) * 6 + (OK,), b=OK)
    desk = scene.scene(Route(model="m", deployments=("a", "b")))
    asked = []
    for wait_us in (0, 2_000_000, 2_000_000, 2_000_000):
        scene.clock.advance(wait_us)
        for _ in range(20):
            assert await serve(desk, scene) == Answer(WHOLE)
        asked.append(scene.asked_of()["a"])
    assert asked[:3] == [5, 6, 6]
    assert asked[3] > 7


async def test_when_every_deployment_is_left_alone_the_caller_is_told_at_once():
    scene = Scene(a=DOWN)
    desk = scene.scene(Route(model="m", deployments=("a",)))
    for _ in range(5):
        await serve(desk, scene)
    served = await serve(desk, scene)
    assert isinstance(served, Refusal)
    assert (served.code, served.retry_after_s) == (Code.UPSTREAM_UNAVAILABLE, 2)
    assert len(scene.records) == 5


FALLBACK = Route(model="m", deployments=("a",), fallback=("unsold", "big"))


async def test_another_model_answers_at_its_own_price_if_the_contract_sells_it():
    scene = Scene(a=BROKEN, big_1=OK, no=OK)
    desk = scene.scene(FALLBACK)
    assert await serve(desk, scene) == Answer(WHOLE)
    assert scene.asked_of() == {"a": 1, "big-1": 1}
    (record,) = scene.records
    assert (record.model, record.asked, record.deployment) == ("big", "m", "big-1")
    assert tries(record) == [("a", "upstream_broken", PROMPT)]
    assert msgspec.json.decode(scene.places["big-1"].asked[0].body)["model"] == "big"
    # 5 × 10 + 4 × 20 millionths: what the answering model costs, not what was asked for
    assert scene.noted["x-steelyard-price"] == "0.00013"
    assert scene.noted["x-steelyard-currency"] == "CNY"


@pytest.mark.parametrize(("models", "asked"), [(("*",), {"a": 1, "big-1": 1}), (("m",), {"a": 1})])
async def test_a_key_falls_back_only_to_models_that_it_opens(models, asked):
    scene = Scene(a=DOWN, big_1=OK)
    key = msgspec.structs.replace(KEY, models=models)
    await serve(scene.scene(FALLBACK, key=key), scene)
    assert scene.asked_of() == asked


async def test_each_attempt_is_a_cost_of_its_own_model_and_deployment():
    def cost(deployments: str, models: str, price: str) -> CostRule:
        return CostRule(
            component="compute",
            earner="grid",
            deployments=deployments,
            models=models,
            rates=rates(input_tokens=price),
        )

    costs = (cost("a", "m", "3"), cost("big-*", "big", "7"))
    studio = msgspec.structs.replace(STUDIO, shares=(shares(*costs),))
    scene = Scene(a=BROKEN, big_1=OK)
    await serve(scene.scene(FALLBACK, studio=studio), scene)
    lines, unrated = rate(scene.records, {7: studio})
    assert not unrated
    assert [
        (line.side, line.model, line.deployment, line.meter, money.exact(line.amount_pico))
        for line in lines
    ] == [
        ("charge", "big", "big-1", "input_tokens", "0.00005"),
        ("charge", "big", "big-1", "output_tokens", "0.00008"),
        ("cost", "big", "big-1", "input_tokens", "0.000035"),
        ("cost", "m", "a", "input_tokens", "0.000021"),
    ]


@pytest.mark.parametrize(("failure", "lost"), [(JournalFullError, False), (JournalError, True)])
async def test_an_attempt_that_can_not_be_announced_is_not_made(failure, lost):
    scene = Scene(a=DOWN, b=OK)
    desk = scene.scene()
    announce = scene.announce

    def second_fails(announcement):
        if announcement.attempt > 1:
            raise failure
        announce(announcement)

    scene.announce = second_fails
    served = await serve(desk, scene)
    assert isinstance(served, Refusal)
    assert scene.asked_of() == {"a": 1}
    assert (scene.records[0].attempts, scene.records[0].tries) == (1, ())
    assert desk.failed.is_set() is lost


async def test_a_call_that_is_killed_costs_what_its_attempts_cost():
    scene = Scene(a=BROKEN, b=OK)
    await serve(scene.scene(), scene)
    closed = closing(scene.announcements[-1])
    assert (closed.deployment, closed.outcome, closed.attempts) == ("b", "interrupted", 2)
    assert tries(closed) == [("a", "upstream_broken", PROMPT)]


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


ROUTER = msgspec.structs.replace(KEY, routing=True)
WANTED = [
    # what the header says, whether the key may, who is asked, what is refused
    ("c", True, "c", None),
    ("c,a", True, "c", None),
    (" b , a ", True, "b", None),
    ("!a", True, "b", None),
    ("!a,!b", True, "c", None),
    ("b,!b", True, "", Code.INVALID_PARAMETER),
    ("nowhere", True, "", Code.INVALID_PARAMETER),
    ("big-1", True, "", Code.INVALID_PARAMETER),
    (",".join(["a"] * 33), True, "", Code.INVALID_PARAMETER),
    ("c", False, "", Code.ROUTING_NOT_ALLOWED),
    ("", False, "a", None),
]


@pytest.mark.parametrize(("wanted", "may", "asked", "code"), WANTED)
async def test_a_caller_that_may_chooses_its_deployments(wanted, may, asked, code):
    scene = Scene(a=OK, b=OK, c=OK)
    scene.wanted = wanted
    served = await serve(scene.scene(key=ROUTER if may else KEY), scene)
    assert "".join(scene.asked_of()) == asked
    if code is None:
        assert served == Answer(WHOLE)
    else:
        assert isinstance(served, Refusal)
        assert served.code == code


async def test_what_a_caller_wants_is_the_order_in_which_it_is_tried():
    scene = Scene(a=OK, b=DOWN, c=DOWN)
    scene.wanted = "c,b,a"
    assert await serve(scene.scene(key=ROUTER), scene) == Answer(WHOLE)
    assert [each.deployment for each in scene.announcements] == ["c", "b", "a"]


def moved(**regions: str):
    return msgspec.structs.replace(
        STUDIO,
        deployments=tuple(
            msgspec.structs.replace(each, region=regions.get(each.id))
            for each in STUDIO.deployments
        ),
    )


@pytest.mark.parametrize(
    ("patterns", "asked", "region"),
    [
        (("*",), "a", ""),
        (("cn-*",), "b", "cn-beijing"),
        (("eu-*", "us-*"), "c", "eu-north"),
        (("sg",), "", None),
    ],
)
async def test_a_key_is_answered_in_its_regions(patterns, asked, region):
    scene = Scene(a=OK, b=OK, c=OK)
    key: Key = msgspec.structs.replace(KEY, regions=patterns)
    desk = scene.scene(studio=moved(b="cn-beijing", c="eu-north"), key=key)
    await serve(desk, scene)
    assert "".join(scene.asked_of()) == asked
    assert [record.region for record in scene.records] == ([region] if asked else [])


async def test_a_deployment_that_drains_gets_no_calls():
    drained = msgspec.structs.replace(
        STUDIO,
        deployments=tuple(
            msgspec.structs.replace(each, draining=each.id in {"a", "b"})
            for each in STUDIO.deployments
        ),
    )
    scene = Scene(a=OK, b=OK, c=OK)
    assert await serve(scene.scene(studio=drained), scene) == Answer(WHOLE)
    assert scene.asked_of() == {"c": 1}


async def test_a_stream_tells_its_cost_with_its_usage():
    scene = Scene(streamed=True, a=STREAM)
    scene.call = msgspec.structs.replace(scene.call, include_usage=True, include_cost=True)
    await serve(scene.scene(), scene)
    usage = msgspec.json.decode(scene.got.split(b"data: ")[-2])["usage"]
    # 5 × 1 + 4 × 2 millionths
    assert usage == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "cost": "0.000013",
        "currency": "CNY",
    }
    assert scene.got.endswith(DONE)
    assert scene.records[0].meters["egress_bytes"] == len(scene.got)


async def test_our_own_time_is_what_the_upstream_did_not_take():
    class Slow(Place):
        async def open(self, request):
            scene.clock.advance(250_000)
            return await super().open(request)

    scene = Scene(a=OK)
    desk = scene.scene(Route(model="m", deployments=("a",)))
    desk.transports = {"a": Slow(OK)}
    scene.began_us = scene.clock.monotonic_us() - 1_500
    assert await serve(desk, scene) == Answer(WHOLE)
    assert scene.noted["x-steelyard-overhead-ms"] == "1.500"
