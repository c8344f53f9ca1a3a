"""Versions as a line names them, ``acme@2026-01-01 bailian@2024-12-31T16:00:00Z``, in words."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def in_words(version: str, zone: str) -> str:
    """The documents that a price comes from, each with the instant from which it holds.

    ``acme of 2026-01-01, bailian of 2025-01-01 00:00:03``: an instant is written as ``zone`` sees
    it, without the time of day at midnight.
    """
    return ", ".join(_named(each, zone) for each in version.split())


def _named(version: str, zone: str) -> str:
    name, _, since = version.rpartition("@")
    if "T" in since:
        moment = datetime.fromisoformat(since).astimezone(ZoneInfo(zone))
        midnight = moment.hour == moment.minute == moment.second == 0
        since = f"{moment:%Y-%m-%d}" if midnight else f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{name} of {since}"
