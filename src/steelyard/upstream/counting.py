"""Counting: how long a chat's prompt is, by the tokenizer of the model that reads it.

What is counted is no less than the upstream will say that it has read. An engine counts as it
reports. A tokenizer's file says nothing of the template that the upstream puts around what is
asked: each message, each seam between texts and the template itself count as more than any of
those that are published has, and what is not text of a message counts as many tokens as bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import msgspec
from msgspec import Raw

from steelyard.upstream.transport import Request, Transport, UpstreamError, read_whole

TEMPLATE_TOKENS = 512
"""What a template may add to a prompt of its own: a system message, how tools are called."""

MESSAGE_TOKENS = 16
"""What a template may put around a message. Source: those of 2023 to 2026 have 3 to 8."""

SEAM_TOKENS = 4
"""By how much a text may come to more tokens for what stands beside it."""

COUNT_BYTES_MAX = 1 << 20
"""Longer prompts are not counted: that takes longer than whoever asks should wait."""

COUNT_S = 1.0
"""How long an engine may take to count."""

_COUNT_PATH = "/chat/completions/input_tokens"
_OK = 200
_MESSAGES = "messages"
_NOT_READ = frozenset({_MESSAGES, "stream", "stream_options"})


class TokenizerError(ValueError):
    """A file that is no tokenizer's, or nothing here that reads it."""

    code = "tokenizer_unread"


class PromptCounter(Protocol):
    """Says how long prompts are."""

    async def most(self, fields: Mapping[str, Raw]) -> int | None:
        """No fewer tokens than the prompt of a chat has, by its body; None: that is not known."""
        ...


class _Counted(msgspec.Struct):
    input_tokens: int


class EngineCounter:
    """Has an embedded engine count; it says exactly what it will report.

    Source: llama.cpp's server, POST /v1/chat/completions/input_tokens.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def most(self, fields: Mapping[str, Raw]) -> int | None:
        """As many tokens as the prompt of a chat has; None, when the engine does not say so."""
        asked = {name: value for name, value in fields.items() if not name.startswith("stream")}
        try:
            async with asyncio.timeout(COUNT_S):
                reply = await self._transport.open(Request(_COUNT_PATH, msgspec.json.encode(asked)))
                try:
                    answer = await read_whole(reply)
                finally:
                    reply.close()
            if reply.status != _OK:
                return None
            return msgspec.json.decode(answer, type=_Counted).input_tokens
        except (UpstreamError, TimeoutError, msgspec.DecodeError):
            return None


class FileCounter:
    """Counts by a ``tokenizer.json``, as the library ``tokenizers`` reads it."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises: TokenizerError."""
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415 - only whoever names a file has it
        except ImportError as exc:
            msg = "the package tokenizers is not installed: pip install tokenizers"
            raise TokenizerError(msg) from exc
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as exc:  # the library has no narrower one
            msg = f"{path} is no tokenizer's file: {exc}"
            raise TokenizerError(msg) from exc
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # What a caller writes of special tokens may be read as plain text, which is longer.
        self._tokenizer.encode_special_tokens = True

    async def most(self, fields: Mapping[str, Raw]) -> int | None:
        """No fewer tokens than the prompt of a chat has; None for one that is too long to count."""
        if len(bytes(fields.get(_MESSAGES, b""))) > COUNT_BYTES_MAX:
            return None
        return await asyncio.to_thread(self.bound, fields)

    def bound(self, fields: Mapping[str, Raw]) -> int | None:
        """Count the texts of the messages, and add what may be around them."""
        try:
            messages = msgspec.json.decode(fields.get(_MESSAGES, Raw(b"[]")))
        except (msgspec.DecodeError, RecursionError):
            return None
        texts = list(_texts(messages))
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        counted = sum(len(each.ids) for each in found)
        rest = sum(
            len(name) + len(bytes(value)) for name, value in fields.items() if name not in _NOT_READ
        )
        around = SEAM_TOKENS * len(texts)
        if isinstance(messages, list):
            around += MESSAGE_TOKENS * len(cast("list[object]", messages))
        return counted + around + rest + TEMPLATE_TOKENS


def _texts(value: object) -> Iterator[str]:
    """Every text in what was decoded, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in cast("dict[str, object]", value).items():
            yield name
            yield from _texts(each)
    elif value is not None:
        yield str(value)
