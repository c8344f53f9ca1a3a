"""``POST /v1/embeddings``.

Source: OpenAI's OpenAPI description, CreateEmbeddingRequest.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from steelyard.dispatch.calls import Ask
from steelyard.dispatch.refusals import Refusal
from steelyard.edge.body import NO_WISHES, Wishes, understand


class _Embedding(msgspec.Struct, frozen=True):
    """What we read ourselves; everything else is the upstream's to judge."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | list[object]
    user: str | None = None
    steelyard: Wishes = NO_WISHES


_EMBEDDING = msgspec.json.Decoder(_Embedding)


def ask(body: bytes) -> Ask | Refusal:
    """What a body asks. Refuses: invalid_json, missing_parameter, invalid_parameter."""
    understood = understand(body, _EMBEDDING)
    if isinstance(understood, Refusal):
        return understood
    embedding, fields = understood
    return Ask(
        kind="embeddings",
        model=embedding.model,
        fields=fields,
        ingress_bytes=len(body),
        user=embedding.user,
        deployments=embedding.steelyard.deployments,
    )
