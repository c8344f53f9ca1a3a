"""OpenAI's headers of what is left."""

from __future__ import annotations

import pytest

from steelyard.dispatch.refusals import Code, Refusal
from steelyard.dispatch.standing import Room, Standing
from steelyard.edge.errors import headers_of
from steelyard.edge.ratelimits import duration, headers

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (999_001, "1s"),
        (6 * SECOND, "6s"),
        (1_500_000, "2s"),
        (59_999_000, "1m0s"),
        (60 * SECOND, "1m0s"),
        (90_250_000, "1m31s"),
        (3600 * SECOND, "1h0m0s"),
        (86_399 * SECOND, "23h59m59s"),
    ],
)
def test_a_time_as_the_headers_write_it(us, text):
    assert duration(us) == text


def test_only_what_is_limited_has_headers():
    assert not headers(Standing())
    room = Room(100, 72, 6 * SECOND)
    tokens = headers(Standing(tokens=room))
    assert tokens.splitlines(keepends=True) == [
        "x-ratelimit-limit-tokens: 100\r\n",
        "x-ratelimit-remaining-tokens: 72\r\n",
        "x-ratelimit-reset-tokens: 6s\r\n",
    ]
    both = headers(Standing(requests=room, tokens=room))
    assert both == tokens.replace("tokens", "requests") + tokens


@pytest.mark.parametrize(
    ("code", "after_s", "sent"),
    [
        (Code.RATE_LIMIT_EXCEEDED, 7, "retry-after: 7\r\n"),
        (Code.RATE_LIMIT_EXCEEDED, None, "x-should-retry: false\r\n"),
        (Code.INSUFFICIENT_QUOTA, 40_000, "retry-after: 40000\r\n"),
        (Code.OVERLOADED, 1, "retry-after: 1\r\n"),
        (Code.MODEL_NOT_FOUND, None, ""),
    ],
)
def test_when_to_try_again(code, after_s, sent):
    refusal = Refusal(code=code, message="no", retry_after_s=after_s)
    assert headers_of(refusal) == sent
