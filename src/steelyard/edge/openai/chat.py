"""``POST /v1/chat/completions``.

Source: OpenAI's OpenAPI description, CreateChatCompletionRequest.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from steelyard.dispatch.calls import Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.edge.body import NO_WISHES, Wishes, understand


class _Options(msgspec.Struct, frozen=True):
    include_usage: bool | None = None
    include_cost: bool | None = None


class _Chat(msgspec.Struct, frozen=True):
    """What we read ourselves; everything else is the upstream's to judge."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Raw], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _Options | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    user: str | None = None
    steelyard: Wishes = NO_WISHES


_CHAT = msgspec.json.Decoder(_Chat)
_NO_OPTIONS = _Options()


def ask(body: bytes) -> Ask | Refusal:
    """What a body asks. Refuses: invalid_json, missing_parameter, invalid_parameter."""
    understood = understand(body, _CHAT)
    if isinstance(understood, Refusal):
        return understood
    chat, fields = understood
    options = chat.stream_options or _NO_OPTIONS
    include_usage = options.include_usage is True
    return Ask(
        kind="chat",
        model=chat.model,
        fields=fields,
        ingress_bytes=len(body),
        streamed=chat.stream is True,
        include_usage=include_usage,
        include_cost=include_usage and options.include_cost is True,
        output_tokens_max=chat.max_completion_tokens or chat.max_tokens,
        choices=chat.n or 1,
        user=chat.user,
        deployments=chat.steelyard.deployments,
    )
