"""Several attempts of one call, on a desk of fakes: what is tried, told, recorded and paid."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.catalogue.documents import CostRule
from steelyard.catalogue.routes import Route
from steelyard.dispatch.breaker import CLOSED
from steelyard.dispatch.calls import Answer
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.retrying import BUDGET_MIN
from steelyard.dispatch.serve import serve
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
from tests.dispatch.test_serve import DONE, EVENTS, WHOLE
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
