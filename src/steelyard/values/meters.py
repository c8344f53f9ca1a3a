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
    "credit": Meter("pico-unit", "What a credit pays of a call, at a price of minus one."),
}

MADE = ("blocks", "minimum_charge", "credit")
"""Meters of lines alone: no call is weighed in them, and they have no price of their own."""

PERIOD_METERS: dict[str, Meter] = {
    "fees": Meter("fee", "A fee of a term, or of what is left of one."),
    "instances": Meter("instance", "Instances licensed."),
    "years": Meter("year", "Years licensed."),
    "node_months": Meter("node-month", "Months of a node, whole or in part."),
    "unit_hours": Meter("hour", "Hours of a model unit reserved."),
    "unit_months": Meter("unit-month", "Months of a model unit reserved."),
    "unit_days": Meter("day", "Days of a model unit that was given back early."),
    "input_tpm_hours": Meter("input TPM-hour", "Input tokens a minute reserved, times the hours."),
    "output_tpm_hours": Meter("output TPM-hour", "The same of output."),
    "input_tpm_days": Meter("input TPM-day", "Input tokens a minute reserved, times the days."),
    "output_tpm_days": Meter("output TPM-day", "The same of output."),
    "compute_hours": Meter("hour", "Hours of computing in training."),
    "person_days": Meter("day", "Days of people's work or teaching."),
    "person_hours": Meter("hour", "Hours of people's work or teaching."),
    "milestones": Meter("milestone", "Parts of a project, accepted."),
    "change_orders": Meter("order", "Changes of a project, accepted."),
    "revenue": Meter("coin", "Somebody's revenue, in its smallest coins."),
    "shortfalls": Meter("shortfall", "What a commitment is short of."),
    "breakage": Meter("plan", "What was paid in advance and never used."),
    "service_credits": Meter("credit", "What is given back for a service below its level."),
    "deposits": Meter("deposit", "What was paid before, or is kept back until later."),
}
"""What contracts charge for by period or by event, and no call has."""

ALL_METERS: dict[str, Meter] = METERS | PERIOD_METERS

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
    "input TPM-hour": (10**4, "10K TPM-h"),
    "output TPM-hour": (10**3, "1K TPM-h"),
    "input TPM-day": (10**4, "10K TPM-d"),
    "output TPM-day": (10**3, "1K TPM-d"),
    "coin": (100, "100 coins"),
    "pico-unit": (10**12, "10¹²"),
}
"""For how many of a unit a price is printed, and what to call them; else for one."""


def in_words(meter: str) -> str:
    """A meter's name as documents print it: ``Cached input tokens``."""
    return meter.replace("_", " ").capitalize().replace("tpm", "TPM")


def priced_per(meter: str) -> tuple[int, str]:
    """For how many units a meter's price is printed, and what to call them."""
    unit = ALL_METERS[meter].unit
    return PRICED_PER.get(unit, (1, unit))
