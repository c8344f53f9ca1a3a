"""Limits of a key, a workspace, a customer and a model at once: all are held, or none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.catalogue.limits import Limit
from steelyard.dispatch import limiting
from steelyard.dispatch.allowances import Allowances, Held
from steelyard.dispatch.calls import Ask, Operation
from steelyard.dispatch.limiting import AMOUNTS, OUTPUT_TOKENS_ASSUMED, SPANS, Turned, applies
from steelyard.dispatch.purses import Funds
from steelyard.dispatch.refusals import Code
from steelyard.dispatch.standing import Room, Standing
from tests.dispatch.studio import KEY, snapshot
from tests.rating.documents import call, us

SECOND = 1_000_000
NOON = us("2026-11-24T12:00:00+08:00")
"""In the zone of the contract, Asia/Shanghai."""


def us_of(second: float) -> int:
    return int(second * SECOND)


def limited(*limits: Limit):
    known = snapshot()
    contract_zones = {"acme": "Asia/Shanghai"}
    return msgspec.structs.replace(known, funds=Funds(limits=limits, zones=contract_zones))


def limit(name: str, of: Any = "customer", **bounds: Any) -> Limit:
    return Limit(id=name, of=of, **bounds)


def key(name="k", customer="acme", workspace=""):
    secret = f"{name} {customer} {workspace}"
    return msgspec.structs.replace(
        KEY, id=name, sha256=secret, customer=customer, workspace=workspace
    )


ONE = (10, 10, False)
USED = [1, 10, 10, 20]


class Counting:
    """The limits of one studio's calls, at one worker."""

    def __init__(self, *limits: Limit) -> None:
        self._limits = Allowances()
        self.studio = limited(*limits)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._limits, name)

    async def asked(self, need=ONE, second=0.0, of=KEY, model="m") -> Held | Turned:
        at_us, now_us = NOON + us_of(second), us_of(second)
        way = self.way(self.studio, of, model, at_us)
        return self.take(way, need, now_us) or await self.wait(way, need, at_us, now_us, never)

    def left(self, held: Held, second=0.0) -> Standing:
        return self.standing(held.way, NOON + us_of(second), us_of(second))


async def never() -> None:
    raise AssertionError


def blocked(found: Turned) -> tuple[str, str]:
    """What is short, and its span."""
    return AMOUNTS[found.purse.which], SPANS[found.purse.returns]


def limit_of(found: Turned) -> str:
    assert found.purse.limit is not None
    return found.purse.limit.id


async def admitted(counting, **asked) -> Held:
    held = await counting.asked(**asked)
    assert isinstance(held, Held), held
    return held


async def spent(counting, **asked) -> None:
    held = await admitted(counting, **asked)
    counting.settle(held, USED, us_of(asked.get("second", 0)))


async def turned(counting, **asked) -> Turned:
    found = await counting.asked(**asked)
    assert isinstance(found, Turned)
    return found


BOUNDS = [
    # bound, how many calls of one request, 10 tokens in and 10 out fit, what is short, its span
    ({"requests_per_minute": 3}, 3, "requests", "per minute"),
    ({"requests_per_day": 2}, 2, "requests", "per day"),
    ({"input_tokens_per_minute": 35}, 3, "input_tokens", "per minute"),
    ({"output_tokens_per_minute": 40}, 4, "output_tokens", "per minute"),
    ({"tokens_per_minute": 40}, 2, "tokens", "per minute"),
    ({"input_tokens_per_day": 10}, 1, "input_tokens", "per day"),
    ({"output_tokens_per_day": 19}, 1, "output_tokens", "per day"),
    ({"tokens_per_day": 60}, 3, "tokens", "per day"),
    ({"concurrency": 2}, 2, "requests", "at once"),
    ({"requests_per_minute": 60, "burst_s": 5}, 5, "requests", "in one burst"),
    ({"tokens_per_minute": 600, "burst_s": 6}, 3, "tokens", "in one burst"),
    (
        {"requests_per_minute": 9, "tokens_per_minute": 99, "concurrency": 5},
        4,
        "tokens",
        "per minute",
    ),
]


@pytest.mark.parametrize(("bounds", "fit", "amount", "span"), BOUNDS)
async def test_as_many_calls_as_fit(bounds, fit, amount, span):
    counting = Counting(limit("a", **bounds))
    for _ in range(fit):
        await admitted(counting)
    found = await turned(counting)
    assert (*blocked(found), limit_of(found)) == (amount, span, "a")
    assert found.wait_us


@pytest.mark.parametrize(("bounds", "fit", "amount", "span"), BOUNDS)
async def test_what_is_released_is_back(bounds, fit, amount, span):
    counting = Counting(limit("a", **bounds))
    held = [await admitted(counting) for _ in range(fit)]
    for each in held:
        counting.release(each, 0)
        counting.release(each, 0)
    for _ in range(fit):
        await admitted(counting)
    await turned(counting)


async def test_what_was_not_used_comes_back_and_the_request_does_not():
    counting = Counting(limit("a", tokens_per_minute=100, requests_per_minute=2))
    held = await admitted(counting, need=(40, 60, False))
    await turned(counting, need=(1, 0, False))
    counting.settle(held, [1, 38, 2, 40], us_of(1))
    found = await turned(counting, need=(1, 60, False), second=1)
    assert (found.left, found.needed) == (60, 61)
    await admitted(counting, need=(0, 60, False), second=1)
    assert blocked(await turned(counting, second=1))[0] in {"requests", "tokens"}


async def test_of_several_limits_all_are_held_or_none():
    counting = Counting(
        limit("a", "customer", tokens_per_minute=1000),
        limit("b", "key", tokens_per_minute=100),
        limit("c", "model", tokens_per_minute=150),
    )
    await admitted(counting, need=(80, 0, False), of=key("one"))
    assert limit_of(await turned(counting, need=(80, 0, False), of=key("one"))) in {"b", "c"}
    assert limit_of(await turned(counting, need=(80, 0, False), of=key("two"))) == "c"
    held = await admitted(counting, need=(60, 0, False), of=key("two"))
    assert counting.left(held).tokens == Room(150, 10, 61 * SECOND)
    counting.release(held, 0)
    again = await admitted(counting, need=(100, 0, False), of=key("two"), model="unsold")
    assert counting.left(again).tokens == Room(100, 0, 61 * SECOND)


async def test_the_longest_wait_is_told():
    counting = Counting(limit("a", requests_per_minute=1), limit("b", requests_per_day=1))
    await spent(counting)
    found = await turned(counting, second=1)
    assert (limit_of(found), found.wait_us) == ("b", 12 * 3600 * SECOND - SECOND)
    assert blocked(await turned(counting, need=(1, 1, False), second=1))[1] == "per day"


SUBJECTS = [
    # of, whose call counts with that of key one, workspace w of acme, for model m
    ("key", key("one", workspace="w"), "n", True),
    ("key", key("two", workspace="w"), "m", False),
    ("workspace", key("two", workspace="w"), "n", True),
    ("workspace", key("one", workspace="v"), "m", False),
    ("workspace", key("one", customer="globex", workspace="w"), "m", False),
    ("customer", key("two"), "n", True),
    ("customer", key("one", customer="globex"), "m", False),
    ("model", key("two", customer="globex"), "m", True),
    ("model", key("one"), "n", False),
    (("customer", "model"), key("two"), "m", True),
    (("customer", "model"), key("one"), "n", False),
    (("customer", "model"), key("one", customer="globex"), "m", False),
]


@pytest.mark.parametrize(("of", "other", "model", "together"), SUBJECTS)
async def test_whose_use_is_counted_apart(of, other, model, together):
    counting = Counting(limit("a", of, requests_per_minute=1))
    await admitted(counting, of=key("one", workspace="w"))
    found = await counting.asked(of=other, model=model)
    assert isinstance(found, Turned) is together


PATTERNS = [
    ({}, True),
    ({"models": ("x-*", "m*")}, True),
    ({"models": ("x-*",)}, False),
    ({"customers": ("ac*",)}, True),
    ({"customers": ("globex",)}, False),
    ({"keys": ("k",)}, True),
    ({"keys": ("K",)}, False),
    ({"workspaces": ("w",)}, False),
    ({"of": "workspace"}, False),
]


@pytest.mark.parametrize(("given", "counts"), PATTERNS)
def test_which_calls_count(given, counts):
    assert applies(limit("a", **{"of": "key", **given}), KEY, "m") is counts


async def test_a_call_larger_than_its_limit_is_never_admitted():
    counting = Counting(limit("a", tokens_per_minute=100))
    found = await turned(counting, need=(60, 60, False))
    assert found.wait_us is None
    refusal = limiting.refusal(found, "m")
    assert (refusal.code, refusal.retry_after_s) == (Code.RATE_LIMIT_EXCEEDED, None)
    assert "larger" in refusal.message


TOLD = [
    ({"requests_per_minute": 1}, Code.RATE_LIMIT_EXCEEDED, "requests", 61),
    ({"tokens_per_minute": 20}, Code.RATE_LIMIT_EXCEEDED, "tokens", 61),
    ({"requests_per_minute": 60, "burst_s": 1}, Code.RATE_LIMIT_EXCEEDED, "requests", 1),
    ({"concurrency": 1}, Code.RATE_LIMIT_EXCEEDED, "requests", 1),
    ({"requests_per_day": 1}, Code.INSUFFICIENT_QUOTA, "insufficient_quota", 12 * 3600),
    ({"tokens_per_day": 20}, Code.INSUFFICIENT_QUOTA, "insufficient_quota", 12 * 3600),
]


@pytest.mark.parametrize(("bounds", "code", "kind", "retry_after_s"), TOLD)
async def test_what_a_caller_is_told(bounds, code, kind, retry_after_s):
    counting = Counting(limit("gold", **bounds))
    await (admitted if "concurrency" in bounds else spent)(counting)
    refusal = limiting.refusal(await turned(counting), "m")
    assert (refusal.code, refusal.type, refusal.retry_after_s) == (code, kind, retry_after_s)
    assert "'gold'" in refusal.message
    assert f"in {retry_after_s} s" in refusal.message


async def test_a_day_that_calls_only_hold_is_not_used_up():
    counting = Counting(limit("a", tokens_per_day=30))
    held = await admitted(counting)
    refusal = limiting.refusal(await turned(counting), "m")
    assert (refusal.code, refusal.retry_after_s) == (Code.RATE_LIMIT_EXCEEDED, 1)
    counting.settle(held, USED, 0)
    refusal = limiting.refusal(await turned(counting), "m")
    assert (refusal.code, refusal.retry_after_s) == (Code.INSUFFICIENT_QUOTA, 12 * 3600)


async def test_nothing_is_limited_where_nothing_is_said():
    counting = Counting()
    held = [await admitted(counting, need=(10**9, 10**9, False)) for _ in range(100)]
    assert counting.left(held[0]).requests is None
    assert counting.left(held[0]).tokens is None


def asked(kind: Operation = "chat", **changed: Any) -> Ask:
    return Ask(kind=kind, model="m", fields={}, ingress_bytes=400, **changed)


NEEDS = [
    (asked(output_tokens_max=7), (101, 7, False)),
    (asked(output_tokens_max=7, choices=3), (101, 21, False)),
    (asked(), (101, OUTPUT_TOKENS_ASSUMED, True)),
    (asked(output_tokens_max=0), (101, OUTPUT_TOKENS_ASSUMED, True)),
    (asked(kind="embeddings"), (101, 0, False)),
]


@pytest.mark.parametrize(("ask", "need"), NEEDS)
def test_what_a_call_is_held_for(ask, need):
    assert limiting.need(ask) == need


async def test_an_answer_without_a_limit_is_held_for_no_more_than_a_minute_has():
    counting = Counting(limit("a", tokens_per_minute=100), limit("b", output_tokens_per_day=60))
    held = await admitted(counting, need=(30, OUTPUT_TOKENS_ASSUMED, True))
    assert held.units == [1, 30, 60, 90]
    found = await turned(counting, need=(101, 5, True))
    assert found.wait_us is None


def test_what_a_call_used_is_what_was_weighed():
    record = call(
        "2026-11-24T12:00:00Z",
        requests=1,
        input_tokens=5,
        cached_input_tokens=90,
        cache_write_tokens=2,
        cache_write_1h_tokens=1,
        output_tokens=7,
        reasoning_tokens=20,
        egress_bytes=10**6,
    )
    assert limiting.used(record) == [1, 98, 27, 125]
    assert limiting.used(call("2026-11-24T12:00:00Z")) == [1, 0, 0, 0]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30 * SECOND),
            st.sampled_from(["one", "two"]),
            st.integers(1, 40),
            st.integers(1, 40),
            st.floats(0, 1),
        ),
        max_size=40,
    )
)
async def test_no_subject_ever_has_more_than_its_minute(calls):
    """The customer's 100 and each key's 60, whatever is held and used in between."""
    counting = Counting(limit("a", tokens_per_minute=100), limit("b", "key", tokens_per_minute=60))
    spent: list[tuple[int, str, int]] = []
    now_us = 0
    for gap_us, name, wanted_in, wanted_out, part in calls:
        now_us += gap_us
        need = (wanted_in, wanted_out, False)
        held = await counting.asked(need=need, second=now_us / SECOND, of=key(name))
        if isinstance(held, Held):
            answer = int(wanted_out * part)
            counting.settle(held, [1, wanted_in, answer, wanted_in + answer], now_us)
            spent.append((now_us, name, wanted_in + answer))
    for begin_us, _, _ in spent:
        within = [each for each in spent if begin_us <= each[0] < begin_us + 60 * SECOND]
        assert sum(tokens for _, _, tokens in within) <= 100
        for name in ("one", "two"):
            assert sum(tokens for _, of, tokens in within if of == name) <= 60


async def test_days_are_those_of_the_customer_s_contract():
    counting = Counting(limit("a", requests_per_day=1))
    await spent(counting)
    assert (await turned(counting, second=12 * 3600 - 1)).wait_us == SECOND
    await spent(counting, second=12 * 3600)
    of_all = Counting(limit("a", "model", requests_per_day=1))
    funds = msgspec.structs.replace(of_all.studio.funds, zone="America/New_York")
    of_all.studio = msgspec.structs.replace(of_all.studio, funds=funds)
    await spent(of_all)
    assert (await turned(of_all, second=3599)).wait_us == SECOND
    elsewhere = Counting(limit("a", requests_per_day=1, zone="UTC"))
    await spent(elsewhere)
    assert (await turned(elsewhere, second=12 * 3600)).wait_us == 8 * 3600 * SECOND


async def test_counters_live_on_when_keys_change():
    counting = Counting(limit("a", "key", requests_per_minute=1))
    await admitted(counting)
    counting.studio = msgspec.structs.replace(counting.studio, edition=8)
    await turned(counting)
    counting.studio = limited(limit("a", "key", requests_per_minute=2))
    await admitted(counting)
