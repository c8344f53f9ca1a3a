"""Whatever upstreams do: one record a call, one attempt an upstream asked, one answer paid."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.catalogue.routes import Route
from steelyard.dispatch.calls import Answer, CallerGoneError
from steelyard.dispatch.refusals import Refusal
from steelyard.dispatch.serve import serve
from steelyard.upstream.transport import Kind, UpstreamError
from tests.dispatch.scripted import BROKEN, CUT, DOWN, NOTHING, OK, STREAM, WRONG, Says, Scene, busy
from tests.dispatch.test_serve import DONE, EVENTS, WHOLE

TEXT = b"".join(EVENTS[:3])
UNREACHABLE = UpstreamError(Kind.UNREACHABLE, "refused")


class Never(asyncio.Event):
    """What does not come, on whatever loop it is waited for."""

    async def wait(self):
        await asyncio.sleep(60)
        return True


def scripts(streamed: bool):
    fine = STREAM if streamed else OK
    never = Says(wait=Never())
    each = [fine, fine, UNREACHABLE, BROKEN, NOTHING, DOWN, WRONG, busy("0"), CUT, never]
    return st.lists(st.sampled_from(each), min_size=1, max_size=3).map(tuple)


@st.composite
def scenes(draw):
    streamed = draw(st.booleans())
    does = {name: draw(scripts(streamed)) for name in ("a", "b", "big_1")}
    route = Route(
        model="m",
        deployments=("a", "b"),
        fallback=draw(st.sampled_from([(), ("big",)])),
        retries=draw(st.sampled_from([None, 0, 1, 4])),
        hedge_ms=draw(st.sampled_from([None, 1])),
    )
    return streamed, does, route, draw(st.none() | st.integers(0, 3))


async def play(streamed, does, route, hang_up_at):
    scene = Scene(streamed=streamed, **does)
    scene.hang_up_at = hang_up_at
    desk = scene.scene(route, total_s=0.02)
    served: Answer | Refusal | None = None
    try:
        served = await serve(desk, scene)
    except CallerGoneError:
        assert hang_up_at is not None
    return scene, desk, served


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_one_record_and_one_answer(made):
    streamed, _, route, _ = made
    scene, desk, served = asyncio.run(play(*made))
    asked = scene.asked_of()
    (record,) = scene.records
    assert record.attempts == len(record.tries) + 1 == len(scene.announcements)
    assert sum(asked.values()) == record.attempts
    numbers = [each.attempt for each in record.tries]
    assert numbers == sorted(set(numbers))
    assert record.attempts <= (3 if route.retries is None else route.retries + 1) + (
        route.hedge_ms is not None
    )
    tried = sorted([record.deployment, *(each.deployment for each in record.tries)])
    assert tried == sorted(name for name, count in asked.items() for _ in range(count))
    delivered = record.meters.get("output_tokens", 0)
    if isinstance(served, Answer):
        assert (served.body, delivered) == (WHOLE, 4)
    elif not scene.got:
        assert delivered == 0
    elif record.outcome == "completed":
        assert scene.got in {TEXT, TEXT + DONE}  # the last event has nothing to charge
        assert delivered == 4
    assert streamed or not scene.got
    assert all(each.outcome != "completed" for each in record.tries)
    assert desk.in_flight == 0
    assert not len(desk.watch)
    assert all(seen.in_flight == 0 for seen in desk.router.vitals.values())
    assert all(place.cancelled <= len(place.asked) for place in scene.places.values())
