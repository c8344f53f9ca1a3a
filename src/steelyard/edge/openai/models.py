"""``GET /v1/models`` and ``GET /v1/models/{id}``.

Source: OpenAI's OpenAPI description, ListModelsResponse and Model.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from steelyard.catalogue.documents import Model


class _Model(msgspec.Struct, frozen=True):
    id: str
    owned_by: str
    object: str = "model"
    created: int = 0
    """When a model was made is not in the catalogue, and the client wants a number."""


class _List(msgspec.Struct, frozen=True):
    data: list[_Model]
    object: str = "list"


def listed(models: Iterable[Model]) -> bytes:
    """Models as a list."""
    return msgspec.json.encode(_List([_Model(each.id, each.developer) for each in models]))


def shown(model: Model) -> bytes:
    """One model."""
    return msgspec.json.encode(_Model(model.id, model.developer))
