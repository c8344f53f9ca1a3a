"""Meters: what is counted, each in one unit, none overlapping another."""

from __future__ import annotations

import msgspec


class Meter(msgspec.Struct, frozen=True):
    """A meter's unit and meaning, as the reference prints them."""

    unit: str
    meaning: str


METERS: dict[str, Meter] = {
    "input_tokens": Meter("token", "Prompt tokens computed anew; excludes the cached ones."),
    "cached_input_tokens": Meter("token", "Prompt tokens read from a cache."),
    "cache_write_tokens": Meter("token", "Prompt tokens written to a cache at a premium."),
    "cache_write_5m_tokens": Meter("token", "The same, to be kept for five minutes."),
    "cache_write_1h_tokens": Meter("token", "The same, to be kept for an hour."),
    "output_tokens": Meter("token", "Completion tokens; excludes the reasoning ones."),
    "reasoning_tokens": Meter("token", "Completion tokens spent on reasoning."),
    "images": Meter("image", "Images produced or read."),
    "audio_seconds": Meter("second", "Audio produced or read."),
    "requests": Meter("call", "Calls answered by a model."),
    "cache_hits": Meter("call", "Calls answered from the response cache."),
    "tool_calls": Meter("call", "Calls of tools that the provider runs."),
    "compute_ms": Meter("millisecond", "Time that the deployment computed for the call."),
    "ingress_bytes": Meter("byte", "Bytes of the request's body."),
    "egress_bytes": Meter("byte", "Bytes of the response's body."),
    "byte_hours": Meter("byte-hour", "Bytes kept, times the hours they were kept."),
    "cache_token_hours": Meter("token-hour", "Tokens kept in a cache, times the hours."),
    "training_tokens": Meter("token", "Tokens trained on, times the epochs."),
    "node_hours": Meter("hour", "Hours of a node reserved."),
    "seats": Meter("seat", "Seats licensed."),
    "blocks": Meter("block", "Blocks of units begun, where units are sold by the block."),
    "minimum_charge": Meter("call", "Calls that cost the least that a call may cost."),
}

PROMPT_METERS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
"""The disjoint meters that sum to a prompt's length, by which a context tier is chosen."""

PROMPT_ORDER = (*PROMPT_METERS[1:], *PROMPT_METERS[:1])
"""The same as they stand in a prompt: a cache holds its beginning."""

COMPONENTS = ("model", "compute", "storage", "network", "scheduling")
"""What a unit of revenue pays for."""

PRICED_PER: dict[str, tuple[int, str]] = {
    "token": (10**6, "1M tokens"),
    "byte": (10**6, "1M bytes"),
    "byte-hour": (10**6, "1M byte-h"),
    "token-hour": (10**6, "1M token-h"),
    "millisecond": (1000, "1,000 ms"),
}
"""For how many of a unit a price is printed, and what to call them; else for one."""


def in_words(meter: str) -> str:
    """A meter's name as documents print it: ``Cached input tokens``."""
    return meter.replace("_", " ").capitalize()


def priced_per(meter: str) -> tuple[int, str]:
    """For how many units a meter's price is printed, and what to call them."""
    unit = METERS[meter].unit
    return PRICED_PER.get(unit, (1, unit))
