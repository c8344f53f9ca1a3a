"""Weighing: what a call is charged for and what it cost to make, each count with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol, cast

import msgspec
from msgspec import Raw

from steelyard.metering.answers import Reading, Texts, unescape
from steelyard.metering.usage import Told, openai_usage
from steelyard.values.meters import PROMPT_METERS
from steelyard.values.usage import Source

ESTIMATE_BYTES_PER_TOKEN = 4
"""The estimate where nothing better is known: a token for each four bytes of UTF-8, begun ones
whole. English has about 4 bytes a token and Chinese about 4.5 in the vocabularies of 2024 to 2026,
so that it errs to a little too many."""

MESSAGE_TOKENS = 4
"""What a chat template puts around a message: role, start and end.
Source: OpenAI's cookbook, "How to count tokens with tiktoken" (3 and 1); ChatML has as many."""

_TEXT = re.compile(rb'"(?:content|text|arguments)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_ROLE = re.compile(rb'"role"\s*:\s*"')


class Counter(Protocol):
    """A model's tokenizer."""

    def count(self, text: str) -> int:
        """Tokens of a text, no special ones added."""
        ...


class Weighed(NamedTuple):
    """A call's token meters; with whatever the gateway measures they make its usage record.

    ``meters`` is what the caller received; ``produced`` what was made, None where that is the same.
    ``faults`` names what in the upstream's usage did not add up.
    """

    meters: dict[str, int]
    sources: dict[str, Source]
    produced: dict[str, int] | None = None
    faults: tuple[str, ...] = ()


def weigh(reading: Reading, asked: Mapping[str, Raw], counter: Counter | None = None) -> Weighed:
    """Weigh an answer: the upstream's word first, then the tokenizer's, then an estimate.

    ``asked`` is the request's body, each field as the caller wrote it. Of an answer that was cut
    off, the whole is ``produced`` and what was delivered is charged, the prompt with it.
    """
    told = openai_usage(reading.usage) if reading.usage else Told({})
    source: Source = "counted" if counter is not None else "estimated"
    meters = told.meters
    sources: dict[str, Source] = dict.fromkeys(meters, "upstream")
    if "input_tokens" not in meters:
        meters["input_tokens"] = prompt_tokens(asked, counter)
        sources["input_tokens"] = source
    if "output_tokens" not in meters and reading.produced is not None:
        counted = _count_texts(reading.produced, counter)
        meters |= counted
        sources |= dict.fromkeys(counted, source)
    if reading.delivered is None or reading.produced is None:
        return Weighed(meters, sources, None, told.faults)
    charged = {name: units for name, units in meters.items() if name in PROMPT_METERS}
    charged |= _delivered(meters, reading.produced, reading.delivered, counter)
    changed = (name for name, units in charged.items() if units != meters[name])
    sources |= dict.fromkeys(changed, source)
    return Weighed(charged, sources, meters, told.faults)


def prompt_tokens(asked: Mapping[str, Raw], counter: Counter | None = None) -> int:
    """The length of a prompt: its texts, and what a chat template puts around each message.

    Tokens that the caller counted itself (arrays of numbers) are taken as they are. Images and
    audio are not counted.
    """
    if "messages" in asked:
        messages = bytes(asked["messages"])
        texts = [unescape(text) for text in _TEXT.findall(messages)]
        if "tools" in asked:
            texts.append(bytes(asked["tools"]).decode("utf-8", "replace"))
        around = len(_ROLE.findall(messages)) * MESSAGE_TOKENS
        return around + _count("\n".join(texts), counter)
    given = asked.get("input") or asked.get("prompt") or Raw(b"null")
    try:
        return _count_given(msgspec.json.decode(given), counter)
    except (msgspec.DecodeError, RecursionError):
        return estimate(len(bytes(given)))


def _count_given(given: object, counter: Counter | None) -> int:
    """A text, texts, tokens, or several of tokens."""
    if isinstance(given, str):
        return _count(given, counter)
    if isinstance(given, int):
        return 1
    if isinstance(given, list):
        return sum(_count_given(each, counter) for each in cast("list[object]", given))
    return 0


def estimate(size: int) -> int:
    """Tokens in so many bytes of UTF-8."""
    return -(-size // ESTIMATE_BYTES_PER_TOKEN)


def _count(text: str, counter: Counter | None) -> int:
    if not text:
        return 0
    return counter.count(text) if counter is not None else estimate(_size(text))


def _count_texts(texts: Texts, counter: Counter | None) -> dict[str, int]:
    """The meters of a text; no text, no meter: what an embedding has no output of is absent."""
    meters: dict[str, int] = {}
    if texts.output or texts.more_bytes or texts.reasoning:
        meters["output_tokens"] = _count(texts.output, counter) + estimate(texts.more_bytes)
    if texts.reasoning:
        meters["reasoning_tokens"] = _count(texts.reasoning, counter)
    return meters


def _delivered(
    whole: Mapping[str, int], produced: Texts, delivered: Texts, counter: Counter | None
) -> dict[str, int]:
    """The part of an answer's meters that reached the caller, never more than the whole.

    By the tokenizer, or in proportion of bytes. Reasoning that the upstream keeps to itself comes
    before the answer: it is charged when any of the answer was delivered.
    """
    if "reasoning_tokens" not in whole:
        produced, delivered = _merged(produced), _merged(delivered)
    meters: dict[str, int] = {}
    if "output_tokens" in whole:
        more = (produced.more_bytes, delivered.more_bytes)
        meters["output_tokens"] = _part(
            whole["output_tokens"], produced.output, delivered.output, more, counter
        )
    if "reasoning_tokens" in whole:
        units = whole["reasoning_tokens"]
        if produced.reasoning:
            units = _part(units, produced.reasoning, delivered.reasoning, (0, 0), counter)
        meters["reasoning_tokens"] = units if delivered.output or produced.reasoning else 0
    return meters


def _part(whole: int, made: str, got: str, more: tuple[int, int], counter: Counter | None) -> int:
    if got == made and more[0] == more[1]:
        return whole
    if counter is not None:
        return min(whole, _count(got, counter) + estimate(more[1]))
    return whole * (_size(got) + more[1]) // (_size(made) + more[0])


def _merged(texts: Texts) -> Texts:
    return Texts(texts.reasoning + texts.output, "", texts.more_bytes)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
