"""Usage: what an upstream of OpenAI's format says that it used, made into disjoint meters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from steelyard.values.meters import PROMPT_METERS

_USUAL: Final = {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"}
COUNT_MAX: Final = 2**53
"""A count beyond this is nonsense, and would not survive a JSON reader that uses doubles."""


class Told(NamedTuple):
    """An upstream's usage as disjoint meters; a meter it didn't tell is absent.

    ``faults`` names what did not add up, and was put right in the payer's favour.
    """

    meters: dict[str, int]
    faults: tuple[str, ...] = ()


def openai_usage(usage: dict[str, object]) -> Told:
    """Read the meters of a ``usage`` object.

    Cached and cache-writing tokens are inside the prompt's count, reasoning inside the
    completion's, unless the total says that reasoning is beside it. Tokens of audio and images stay
    in the count that they are part of: none is subtracted twice.
    Source: OpenAI's CompletionUsage; DeepSeek ``prompt_cache_hit_tokens``; Moonshot
    ``cached_tokens``; DashScope ``cache_creation_input_tokens``; xAI's total. Writes by
    lifetime are Anthropic's, as ``upstream.anthropic`` puts them.
    """
    usual = _usual(usage)
    if usual is not None:
        return usual
    faults: list[str] = []
    prompt_details = _table(usage.get("prompt_tokens_details"))
    completion_details = _table(usage.get("completion_tokens_details"))
    total = _first(faults, (usage, "total_tokens"))
    prompt = _first(faults, (usage, "prompt_tokens"))
    completion = _first(faults, (usage, "completion_tokens"))
    cached = _first(
        faults,
        (prompt_details, "cached_tokens"),
        (usage, "prompt_cache_hit_tokens"),
        (usage, "cached_tokens"),
    )
    written = _first(
        faults,
        (prompt_details, "cache_write_tokens"),
        (prompt_details, "cache_creation_input_tokens"),
        (prompt_details, "cache_creation_tokens"),
    )
    reasoning = _first(
        faults, (completion_details, "reasoning_tokens"), (usage, "reasoning_tokens")
    )
    short = _first(faults, (prompt_details, "cache_write_5m_tokens"))
    long = _first(faults, (prompt_details, "cache_write_1h_tokens"))
    meters = _prompt(prompt, (cached, written, short, long), faults)
    beside = _is_beside(total, prompt, completion, reasoning)
    meters |= _completion(completion, reasoning, faults, beside=beside)
    if total is not None and prompt is not None and not beside:
        if completion is None and total > prompt:
            meters["output_tokens"] = total - prompt
            faults.append("completion_tokens_missing")
        elif total != prompt + (completion or 0):
            faults.append("total_tokens_differ")
    return Told(meters, tuple(faults))


def _usual(usage: dict[str, object]) -> Told | None:
    """The meters of the usage that nearly everybody tells: three counts that add up."""
    if not _USUAL.issuperset(usage):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    total, details = usage.get("total_tokens"), usage.get("prompt_tokens_details")
    if (
        type(prompt) is not int
        or type(completion) is not int
        or not 0 <= prompt <= COUNT_MAX
        or not 0 <= completion <= COUNT_MAX
        or total != prompt + completion
        or type(total) is not int
    ):
        return None
    if details is None:
        return Told({"input_tokens": prompt, "output_tokens": completion})
    told = _table(details)
    cached = told.get("cached_tokens")
    if len(told) != 1 or type(cached) is not int or not 0 <= cached <= prompt:
        return None
    meters = {"input_tokens": prompt - cached, "cached_input_tokens": cached}
    meters["output_tokens"] = completion
    return Told(meters)


def _prompt(prompt: int | None, parts: tuple[int | None, ...], faults: list[str]) -> dict[str, int]:
    """The meters of a prompt; ``parts`` are those of its count that a cache has to do with."""
    if prompt is None:
        return {}
    meters: dict[str, int] = {}
    left = prompt
    for meter, part in zip(PROMPT_METERS[1:], parts, strict=True):
        if part is not None:
            if part > left:
                faults.append(f"{meter}_exceed_prompt")
            meters[meter] = min(part, left)
            left -= meters[meter]
    return {"input_tokens": left, **meters}


def _completion(
    completion: int | None, reasoning: int | None, faults: list[str], *, beside: bool
) -> dict[str, int]:
    if completion is None:
        return {}
    if reasoning is None:
        return {"output_tokens": completion}
    if beside:
        return {"output_tokens": completion, "reasoning_tokens": reasoning}
    if reasoning > completion:
        faults.append("reasoning_tokens_exceed_completion")
        reasoning = completion
    return {"output_tokens": completion - reasoning, "reasoning_tokens": reasoning}


def _is_beside(
    total: int | None, prompt: int | None, completion: int | None, reasoning: int | None
) -> bool:
    if total is None or prompt is None or completion is None or not reasoning:
        return False
    return total == prompt + completion + reasoning


def _first(faults: list[str], *places: tuple[Mapping[str, object], str]) -> int | None:
    """The first count that is there; None and absent are not, zero is."""
    for table, name in places:
        value = table.get(name)
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is int and 0 <= value <= COUNT_MAX:
            return value
        faults.append(f"{name}_invalid")
    return None


def _table(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
