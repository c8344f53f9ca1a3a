"""Cutting: the end of a stream that has come to the end of its cover."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from steelyard.dispatch.refusals import Code
from steelyard.dispatch.stages import Attempt
from steelyard.values.meters import PROMPT_METERS

_ANSWER = ("output_tokens", "reasoning_tokens")


def short(attempt: Attempt, upstream_id: str | None, meters: Mapping[str, int]) -> bytes:
    """The last events of a stream: that it is cut short, and its usage should it be wanted."""
    head = {
        "id": upstream_id or "",
        "object": "chat.completion.chunk",
        "created": attempt.arrival.at_us // 1_000_000,
        "model": attempt.ask.model,
    }
    why = {"code": Code.COVER_USED_UP, "message": "There is no cover for a longer answer."}
    nothing: dict[str, str] = {}
    choices = [
        {"index": index, "delta": nothing, "logprobs": None, "finish_reason": "length"}
        for index in range(attempt.ask.choices)
    ]
    events: list[object] = [{**head, "choices": choices, "steelyard": why}]
    if attempt.ask.include_usage:
        prompt = sum(meters.get(each, 0) for each in PROMPT_METERS)
        answer = sum(meters.get(each, 0) for each in _ANSWER)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        }
        events.append({**head, "choices": [], "usage": usage})
    return b"".join(b"data: " + msgspec.json.encode(each) + b"\n\n" for each in events)
