"""Wording: which calls something is for, in words."""

from __future__ import annotations

from steelyard.catalogue.documents import Labels
from steelyard.catalogue.phrases import Language, say


def called(models: str, only: Labels, language: Language) -> str:
    """Models, and which of their calls."""
    return say(language, "comma").join([models, *labels(only, language)])


def labels(only: Labels, language: Language) -> list[str]:
    """What a price says of the calls that it is for, beside their model."""
    words: list[str] = []
    if only.service_tier is not None:
        words.append(say(language, f"tier_{only.service_tier}"))
    if only.region is not None:
        words.append(say(language, "region", region=only.region))
    if only.mode is not None:
        words.append(say(language, "mode", mode=only.mode))
    return words
