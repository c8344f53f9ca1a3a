"""Labels: what service a call was given and in which mode it was answered, as prices name them.

What the answer tells goes before what was asked, and that before what is known of the deployment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from steelyard.catalogue.documents import Deployment
from steelyard.catalogue.offers import Called
from steelyard.values.usage import STANDARD, THINKING

TIERS: Final = {
    "default": STANDARD,
    "standard": STANDARD,
    "priority": "priority",
    "flex": "flex",
    "batch": "batch",
}
"""What upstreams call the service that they gave. Source: ``service_tier`` of OpenAI, Anthropic."""

_OFF = (b"false", b'"none"', b"null")
_SWITCH = re.compile(rb'"(?:enable_thinking|thinking|enabled)"\s*:\s*(true|false)')
_TYPE = re.compile(rb'"(?:type|effort)"\s*:\s*"(\w+)"')
_DISABLED = (b"disabled", b"none")
_SWITCHES = ("enable_thinking", "reasoning_effort")
_TABLES = ("thinking", "reasoning", "chat_template_kwargs")
_SAYING: Final = frozenset({*_SWITCHES, *_TABLES})


def called(deployment: Deployment) -> Called:
    """What holds of a call there of which nothing else is said."""
    tier = deployment.service_tier
    return Called(tier, deployment.region or "", deployment.mode or "")


def service_tier(told: str | None, deployment: Deployment) -> str:
    """The service that a call was given: only the answer knows whether it is the one asked for."""
    return deployment.service_tier if told is None else TIERS.get(told, deployment.service_tier)


def mode(fields: Mapping[str, Raw], meters: Mapping[str, int], deployment: Deployment) -> str:
    """How the model answered: by the reasoning that was counted, else as the request asked.

    Source: OpenAI ``reasoning_effort``; DashScope ``enable_thinking``; Anthropic, GLM, DeepSeek and
    Doubao ``thinking``; OpenRouter ``reasoning``; vLLM and SGLang ``chat_template_kwargs``.
    """
    reasoning = meters.get("reasoning_tokens")
    if reasoning is not None:
        return THINKING if reasoning else ""
    asked = _asked(fields)
    if asked is None:
        return deployment.mode or ""
    return THINKING if asked else ""


def _asked(fields: Mapping[str, Raw]) -> bool | None:
    """Whether the request asks to think; None where it says nothing."""
    if _SAYING.isdisjoint(fields):
        return None
    for name in _SWITCHES:
        if name in fields:
            return bytes(fields[name]) not in _OFF
    for name in _TABLES:
        if name in fields:
            written = bytes(fields[name])
            switch, kind = _SWITCH.search(written), _TYPE.search(written)
            if switch is not None:
                return switch.group(1) == b"true"
            if kind is not None:
                return kind.group(1) not in _DISABLED
    return None
