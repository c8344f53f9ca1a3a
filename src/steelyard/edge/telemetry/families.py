"""Families: the metrics that a gateway shows, each with its labels and meaning."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

BREAKERS = ("closed", "half_open", "open")
"""The states of a breaker, by their number in ``steelyard_breaker_state``."""

_CALL = ("model", "deployment", "customer")


class Family(msgspec.Struct, frozen=True):
    """One metric. ``bounds_us`` are a histogram's upper bounds; it is shown in seconds."""

    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    bounds_us: tuple[int, ...] = ()


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What one metric is under one set of labels.

    Shape: one number; of a histogram the count in each bucket, the last without bound, then the
    sum. Unit of a histogram's sum: µs.
    """

    family: str
    labels: tuple[str, ...]
    values: list[int]


FAMILIES: dict[str, Family] = {
    "steelyard_calls_total": Family(
        "counter",
        (*_CALL, "outcome", "code"),
        "Calls that have a usage record; code is empty where nothing failed.",
    ),
    "steelyard_tokens_total": Family(
        "counter", (*_CALL, "meter"), "Tokens charged, by meter; none is in two of them."
    ),
    "steelyard_cache_hits_total": Family(
        "counter", _CALL, "Calls answered from the response cache, without an upstream."
    ),
    "steelyard_call_duration_seconds": Family(
        "histogram",
        _CALL,
        "From a call's arrival to its record.",
        (
            *(10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000),
            *(10_000_000, 20_000_000, 60_000_000, 120_000_000, 300_000_000, 600_000_000),
        ),
    ),
    "steelyard_time_to_first_token_seconds": Family(
        "histogram",
        _CALL,
        "From a streamed call's arrival to its first byte.",
        (
            *(2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 300_000, 500_000, 750_000),
            *(1_000_000, 2_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000),
        ),
    ),
    "steelyard_time_per_output_token_seconds": Family(
        "histogram",
        _CALL,
        "Of a completed stream, the time after its first byte for each further token.",
        (
            *(500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 40_000, 50_000, 75_000),
            *(100_000, 150_000, 200_000, 300_000, 500_000, 1_000_000),
        ),
    ),
    "steelyard_refusals_total": Family(
        "counter",
        ("code", "customer"),
        "Calls refused before an upstream was asked; customer is empty where no key opened.",
    ),
    "steelyard_attempts_total": Family(
        "counter", ("model", "deployment", "outcome", "code"), "Attempts at an upstream, by end."
    ),
    "steelyard_attempts_in_flight": Family(
        "gauge", ("model", "deployment"), "Attempts that wait for their upstream or stream."
    ),
    "steelyard_calls_in_flight": Family("gauge", (), "Calls that are being served."),
    "steelyard_queue_length": Family(
        "gauge", ("line",), "Calls that wait in line: for the worker, or for a model's places."
    ),
    "steelyard_breaker_state": Family(
        "gauge", ("deployment",), "A deployment's breaker: 0 closed, 1 half open, 2 open."
    ),
    "steelyard_journal_bytes_total": Family(
        "counter", (), "Bytes that the worker has appended to the journal."
    ),
    "steelyard_allowances_round_trips_total": Family(
        "counter", (), "Messages to the store of shared limits that an answer was waited for."
    ),
    "steelyard_telemetry_dropped_total": Family(
        "counter", ("sink",), "What a log or an exporter could not keep up with, or could not send."
    ),
    "steelyard_memory_bytes": Family("gauge", (), "Resident memory of the worker."),
    "steelyard_worker_info": Family("gauge", ("version",), "1 for each worker."),
}
"""Every metric by its name. Each also has the label ``worker``."""
