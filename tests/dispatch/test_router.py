"""Which deployments a call may use: by its caller's wish, by region, by who drains."""

from __future__ import annotations

import msgspec
import pytest

from steelyard.dispatch.calls import Answer
from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.serve import serve
from steelyard.governance.keys import Key
from tests.dispatch.scripted import (
    DOWN,
    OK,
    STUDIO,
    Scene,
)
from tests.dispatch.studio import KEY
from tests.dispatch.test_serve import WHOLE

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


@pytest.mark.parametrize("said_in", ["header", "body"])
@pytest.mark.parametrize(("wanted", "may", "asked", "code"), WANTED)
async def test_a_caller_that_may_chooses_its_deployments(said_in, wanted, may, asked, code):
    scene = Scene(a=OK, b=OK, c=OK)
    if said_in == "header":
        scene.wanted = wanted
    else:
        scene.call = msgspec.structs.replace(scene.call, deployments=wanted)
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
