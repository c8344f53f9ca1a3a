"""Instants as traces write them."""

from __future__ import annotations

from datetime import UTC, datetime

from steelyard.values import periods

_US_PER_S = 1_000_000


def instant_us(text: str) -> int | None:
    """An ISO 8601 date and time as µs since 1970 UTC; None when it is none.

    One without a zone is UTC's. Digits beyond the microsecond are cut off.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def seconds_us(seconds: float) -> int:
    """Seconds from the beginning of a trace as whole µs, the nearest."""
    return round(seconds * _US_PER_S)
