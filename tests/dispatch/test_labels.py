"""What service a call was given, how it was answered, and that its caller is told that price."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from steelyard.catalogue.documents import Labels, PriceRule
from steelyard.dispatch import labels
from steelyard.dispatch.serve import serve
from steelyard.values import money
from tests.dispatch.scripted import STUDIO, Says, Scene
from tests.dispatch.studio import deployment
from tests.dispatch.test_serve import DONE, EVENTS
from tests.rating.documents import contract, flat, rate

USUAL = deployment("d", "m")
THINKER = msgspec.structs.replace(USUAL, mode="thinking")
SLOW = msgspec.structs.replace(USUAL, service_tier="flex")

MODES = [
    # what the request says, what was counted, where, how it was answered
    ({}, {}, USUAL, ""),
    ({}, {"reasoning_tokens": 7}, USUAL, "thinking"),
    ({}, {"output_tokens": 7}, USUAL, ""),
    ({}, {}, THINKER, "thinking"),
    ({"enable_thinking": "true"}, {}, USUAL, "thinking"),
    ({"enable_thinking": "false"}, {}, THINKER, ""),
    ({"enable_thinking": "true"}, {"reasoning_tokens": 0}, USUAL, ""),
    ({"enable_thinking": "false"}, {"reasoning_tokens": 9}, USUAL, "thinking"),
    ({"reasoning_effort": '"high"'}, {}, USUAL, "thinking"),
    ({"reasoning_effort": '"none"'}, {}, USUAL, ""),
    ({"reasoning_effort": "null"}, {}, USUAL, ""),
    ({"thinking": '{"type": "enabled", "budget_tokens": 1024}'}, {}, USUAL, "thinking"),
    ({"thinking": '{"type":"disabled"}'}, {}, THINKER, ""),
    ({"thinking": '{"type":"adaptive"}'}, {}, USUAL, "thinking"),
    ({"reasoning": '{"effort":"low"}'}, {}, USUAL, "thinking"),
    ({"reasoning": '{"enabled":false}'}, {}, USUAL, ""),
    ({"chat_template_kwargs": '{"enable_thinking": true}'}, {}, USUAL, "thinking"),
    ({"chat_template_kwargs": '{"thinking":false}'}, {}, THINKER, ""),
    ({"chat_template_kwargs": '{"foo":1}'}, {}, THINKER, "thinking"),
    ({"thinking": "7"}, {}, USUAL, ""),
]


@pytest.mark.parametrize(("asked", "counted", "where", "mode"), MODES)
def test_how_a_call_was_answered(asked, counted, where, mode):
    fields = {name: Raw(text.encode()) for name, text in asked.items()}
    assert labels.mode(fields, counted, where) == mode


@pytest.mark.parametrize(
    ("told", "where", "tier"),
    [
        (None, USUAL, "standard"),
        (None, SLOW, "flex"),
        ("default", SLOW, "standard"),
        ("standard", USUAL, "standard"),
        ("priority", USUAL, "priority"),
        ("flex", USUAL, "flex"),
        ("batch", USUAL, "batch"),
        ("auto", USUAL, "standard"),
        ("something new", SLOW, "flex"),
    ],
)
def test_what_service_a_call_was_given(told, where, tier):
    assert labels.service_tier(told, where) == tier


def price(model="m", discount_ppm=0, **only):
    tariff = flat(input_tokens="1", output_tokens="2")
    return PriceRule(model=model, tariff=tariff, discount_ppm=discount_ppm, labels=Labels(**only))


LABELLED = msgspec.structs.replace(
    STUDIO,
    contracts=(
        contract(
            price(discount_ppm=500_000, service_tier="flex"),
            price(discount_ppm=250_000, mode="thinking"),
            price(),
        ),
    ),
)
WHOLE = b'{"id":"c1","choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":4}%s}'
STREAMED = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4}%s}\n\n'
CALLS = [
    # what the answer says, what the request asks, the record's tier and mode, the price
    (b"", {}, ("standard", ""), "0.000013"),
    (b',"service_tier":"default"', {}, ("standard", ""), "0.000013"),
    (b',"service_tier":"flex"', {}, ("flex", ""), "0.0000065"),
    (b',"service_tier":null', {"service_tier": b'"flex"'}, ("standard", ""), "0.000013"),
    (b"", {"enable_thinking": b"true"}, ("standard", "thinking"), "0.00000975"),
    (b',"service_tier":"flex"', {"enable_thinking": b"true"}, ("flex", "thinking"), "0.0000065"),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("says", "asks", "found", "paid"), CALLS)
async def test_a_live_call_is_priced_as_it_was_answered(streamed, says, asks, found, paid):
    answer = Says(parts=(*EVENTS[:3], STREAMED % says, DONE) if streamed else (WHOLE % says,))
    scene = Scene(streamed=streamed, a=answer, b=answer, c=answer)
    fields = scene.call.fields | {name: Raw(text) for name, text in asks.items()}
    scene.call = msgspec.structs.replace(
        scene.call, fields=fields, include_usage=True, include_cost=streamed
    )
    await serve(scene.scene(studio=LABELLED), scene)
    record = scene.records[0]
    assert (record.service_tier, record.mode) == found
    lines, unrated = rate([record], {7: LABELLED})
    assert not unrated
    assert money.exact(sum(line.amount_pico for line in lines)) == paid
    if streamed:
        assert f'"cost":"{paid}"'.encode() in scene.got
    else:
        assert scene.noted["x-steelyard-price"] == paid
