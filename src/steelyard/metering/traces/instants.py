"""Instants as traces write them."""

from __future__ import annotations

from datetime import UTC, datetime

from steelyard.values import periods

_FRACTION_DIGITS = 6


def instant_us(text: str) -> int | None:
    """An ISO 8601 date and time as µs since 1970 UTC; None when it is none.

    One without a zone is UTC's. Digits beyond the microsecond are cut off.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return periods.to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def seconds_us(text: str) -> int:
    """A plain decimal number of seconds as µs; digits beyond the microsecond are cut off."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))
