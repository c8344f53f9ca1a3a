"""Names: how ids and texts in documents may be written."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""An id of a contract, a party, a book: it becomes part of account names and file names."""

ModelId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]
"""A model's id: the same, with ``:`` and ``@``; no slash, which separates parts of an account."""

Pattern = Annotated[str, Meta(min_length=1, max_length=200)]
"""A shell pattern over ids: ``qwen3-*``."""

Text = Annotated[str, Meta(min_length=1, max_length=500)]
"""A text that people read."""
